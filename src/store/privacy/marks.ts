import { createHmac, hash, hkdfSync } from 'node:crypto';

/**
 * What is suppressed, as a text that is hashed with the key of the database: a row by its stream and id, an e-mail
 * address, a phone number. Only the hashes are stored.
 */
export type Mark = string;

export const rowMark = (stream: string, id: string): Mark => `row ${stream} ${id}`;
export const addressMark = (address: string): Mark => `address ${address}`;
export const numberMark = (number: string): Mark => `number ${number}`;

/** 128 bits: enough that no two of billions of marks share one. */
export const HASH_BYTES = 16;

const derived = (secret: Buffer, use: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `leadmirror ${use}`, 32));

/** The key under which marks are hashed; other uses of the database's key get others. */
export const suppressionKey = (secret: Buffer): Buffer => derived(secret, 'suppress');

/** The key of pseudonyms. */
export const pseudonymKey = (secret: Buffer): Buffer => derived(secret, 'pseudonym');

export const hashMark = (key: Buffer, mark: Mark): Buffer =>
  createHmac('sha256', key).update(mark).digest().subarray(0, HASH_BYTES);

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

/**
 * As `hashMark`, for a run, which hashes about four marks of every record: HMAC (RFC 2104) by two one-shot hashes of
 * memory that is used again, in half the time of `createHmac`, which makes an object for each mark.
 */
export function createMarkHash(key: Buffer): (mark: Mark) => Buffer {
  const padded = (pad: number, room: number) => {
    const bytes = Buffer.alloc(BLOCK_BYTES + room);
    for (let at = 0; at < BLOCK_BYTES; at += 1) bytes[at] = pad ^ (key[at] ?? 0);
    return bytes;
  };
  let inner = padded(0x36, 1024);
  const outer = padded(0x5c, DIGEST_BYTES);
  return (mark) => {
    const bytes = Buffer.byteLength(mark);
    if (BLOCK_BYTES + bytes > inner.length) inner = padded(0x36, bytes);
    inner.write(mark, BLOCK_BYTES);
    outer.set(hash('sha256', inner.subarray(0, BLOCK_BYTES + bytes), 'buffer'), BLOCK_BYTES);
    return hash('sha256', outer, 'buffer').subarray(0, HASH_BYTES);
  };
}

/** As `reporting.email_of`: the first e-mail address in a text, in lower case; null: there is none. */
export function addressOf(given: unknown): string | null {
  if (typeof given !== 'string') return null;
  return ADDRESS.exec(given.slice(0, 1000).toLowerCase())?.[0] ?? null;
}

const ADDRESS = /[a-z0-9._%+'-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+/;

/** As `reporting.phone_of`: digits without 00 or + in front; null: not 7 to 15, or one digit repeated. */
export function numberOf(given: unknown): string | null {
  const text = typeof given === 'number' ? String(given) : given;
  if (typeof text !== 'string') return null;
  const digits = text
    .slice(0, 100)
    .replace(/[^0-9]/g, '')
    .replace(/^00/, '');
  return /^[0-9]{7,15}$/.test(digits) && !/^(.)\1*$/.test(digits) ? digits : null;
}

/** All addresses and numbers in a longer text, such as one in quarantine. */
export function marksIn(text: string): Mark[] {
  const addresses = text.toLowerCase().match(new RegExp(ADDRESS, 'g')) ?? [];
  const numbers = (text.match(/\+?\d[\d ()./-]{5,30}\d/g) ?? []).flatMap((found) => numberOf(found) ?? []);
  return [...addresses.map(addressMark), ...numbers.map(numberMark)];
}
