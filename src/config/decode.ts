import { attempt } from './values.ts';

/** Returns the text of a file, by its first bytes UTF-8 or one of the UTF-16 forms that Windows writes. */
export function decodeText(bytes: Buffer): { readonly text: string } | { readonly why: string } {
  const encoding = guessEncoding(bytes);
  if (encoding === null) return { why: `cannot be used: it is saved as UTF-32; ${REMEDY}` };
  // A byte order mark is left out by itself.
  const text = attempt(() => new TextDecoder(encoding, { fatal: true }).decode(bytes));
  if (text === null) {
    const line = encoding === 'utf-8' ? ` (line ${brokenLine(bytes)})` : '';
    return { why: `cannot be used: it holds characters that are not ${encoding.toUpperCase()}${line}; ${REMEDY}` };
  }
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    const line = text.slice(0, nul).split('\n').length;
    return { why: `cannot be used: line ${line} holds a NUL character, so it is not a text; ${REMEDY}` };
  }
  return { text };
}

const REMEDY = 'save it as UTF-8';

function guessEncoding(bytes: Buffer): 'utf-8' | 'utf-16le' | 'utf-16be' | null {
  const head = bytes.subarray(0, 4).toString('hex');
  if (head.startsWith('fffe0000') || head === '0000feff') return null;
  if (head.startsWith('fffe')) return 'utf-16le';
  if (head.startsWith('feff')) return 'utf-16be';
  // Without a mark: plain letters have a zero as every second byte.
  if (/^(?!00)..00(?!00)..00/.test(head)) return 'utf-16le';
  if (/^00(?!00)..00(?!00)../.test(head)) return 'utf-16be';
  return 'utf-8';
}

function brokenLine(bytes: Buffer): number {
  const lines = bytes.toString('latin1').split('\n');
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return lines.findIndex((line) => attempt(() => decoder.decode(Buffer.from(line, 'latin1'))) === null) + 1;
}
