import { createHmac } from 'node:crypto';
import type { Connection, FieldPolicy, FieldRule, Stream } from '../stream.ts';
import { isObject } from './coerce.ts';
import { DROPPED } from './redact.ts';

/**
 * What the operator wants of single fields, applied before a record is mapped: columns, `raw`, quarantine, drift and
 * verification all see the same. The defaults of `privacy.ts` hold as well.
 */
interface Rule extends FieldRule {
  /** A pseudonym only where the value is an e-mail address or a phone number. */
  readonly isContactOnly?: boolean;
}

const rules = (stream: string, action: FieldRule['action'], paths: string, isContactOnly = false): Rule[] =>
  paths.split(' ').map((path) => ({ stream, path: path.split('.'), action, isContactOnly }));

const below = (parent: string, names: string): string =>
  names
    .split(' ')
    .map((name) => `${parent}.${name}`)
    .join(' ');

const NAMES = 'email phone fullname';
const DETAILS = 'streetAddress city region zipcode note attributes properties';

/** The fields of contact data, of free texts, and of colleagues, by the names that the upstreams give them. */
const PRESETS: Readonly<Record<FieldPolicy['presets'][number], readonly Rule[]>> = {
  contact: [
    ...rules('tiledesk.leads', 'pseudonym', NAMES),
    ...rules('tiledesk.leads', 'drop', DETAILS),
    ...['lead', 'snapshot.lead', 'snapshot.requester', 'contact', 'requester'].flatMap((parent) => [
      ...rules('tiledesk.requests', 'pseudonym', below(parent, NAMES)),
      ...rules('tiledesk.requests', 'drop', below(parent, DETAILS)),
    ]),
    ...rules('tiledesk.requests', 'pseudonym', 'attributes.userEmail attributes.userFullname attributes.userPhone'),
    ...rules(
      'tiledesk.messages',
      'pseudonym',
      'senderFullname recipientFullname attributes.userEmail attributes.userFullname',
    ),
    ...rules('tilkee.tokens', 'pseudonym', 'name external_id', true),
  ],
  texts: [
    ...rules('tiledesk.requests', 'drop', 'first_text subject transcript rating_message notes attributes.last_message'),
    ...rules('tiledesk.messages', 'drop', 'text metadata'),
    ...rules('tilkee.connexions', 'drop', 'title'),
  ],
  agents: [
    ...rules('tiledesk.project_users', 'pseudonym', below('id_user', 'email firstname lastname fullname')),
    ...rules('tiledesk.requests', 'pseudonym', below('participatingAgents', 'email firstname lastname fullname')),
    ...rules('tiledesk.requests', 'pseudonym', below('snapshot.agents', 'email firstname lastname fullname')),
    ...rules('tilkee.users', 'pseudonym', 'email first_name last_name full_name contact_email phone'),
    ...['tilkee.projects', 'tilkee.items'].flatMap((stream) => [
      ...rules(stream, 'pseudonym', below('owner', 'email first_name last_name full_name')),
      ...rules(stream, 'pseudonym', below('leader', 'email first_name last_name full_name')),
    ]),
    ...rules('tilkee.projects', 'pseudonym', 'leader_email leader_first_name leader_last_name'),
  ],
};

export const rulesOf = ({ presets, fields }: FieldPolicy): readonly Rule[] => {
  const own = new Set(fields.map(nameOf));
  return [...presets.flatMap((preset) => PRESETS[preset]).filter((rule) => !own.has(nameOf(rule))), ...fields];
};

const nameOf = ({ stream, path }: FieldRule): string => `${stream}.${path.join('.')}`;

/** The same connection with a policy on its streams; itself where none of the rules is about it. */
export function withFieldPolicy(
  connection: Connection,
  all: readonly Rule[],
  pseudonymOf: (value: string) => string,
): Connection {
  const streams = connection.streams.map((stream): Stream => {
    const own = all.filter((rule) => rule.stream === stream.name && rule.action !== 'keep');
    if (own.length === 0) return stream;
    return {
      ...stream,
      redactRecord: (record) =>
        own.reduce((kept, rule) => applyRule(kept, rule, pseudonymOf), stream.redactRecord(record)),
    };
  });
  return streams.some((stream, index) => stream !== connection.streams[index])
    ? { ...connection, streams }
    : connection;
}

export function withDroppedTexts(connection: Connection): Connection {
  const streams = connection.streams.map((stream): Stream => {
    const own = PRESETS.texts.filter((rule) => rule.stream === stream.name);
    if (own.length === 0) return stream;
    return { ...stream, dropTexts: (record) => own.reduce((kept, rule) => applyRule(kept, rule, String), record) };
  });
  return { ...connection, streams };
}

function applyRule(record: unknown, { path, action, isContactOnly }: Rule, pseudonymOf: (value: string) => string) {
  return changeAt(record, path, (value) => {
    if (value === null) return null;
    if (action === 'drop') return DROPPED;
    if (typeof value === 'object') return DROPPED;
    const text = String(value);
    return text.trim() === '' || (isContactOnly && !isContact(text)) ? value : pseudonymOf(text);
  });
}

function changeAt(value: unknown, path: readonly string[], change: (value: unknown) => unknown): unknown {
  if (Array.isArray(value)) {
    const kept = value.map((each) => changeAt(each, path, change));
    return kept.every((each, index) => each === value[index]) ? value : kept.filter((each) => each !== DROPPED);
  }
  const [name, ...rest] = path;
  if (name === undefined) return change(value);
  if (!isObject(value) || !Object.hasOwn(value, name)) return value;
  const kept = changeAt(value[name], rest, change);
  if (kept === value[name]) return value;
  const { [name]: _, ...others } = value;
  return kept === DROPPED ? others : { ...others, [name]: kept };
}

const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;
/** As `reporting.phone_of` reads it: 7 to 15 digits, with what people write between them. */
const PHONE = /^(?:\+|00)?[0-9 ()./-]+$/;
const digitsOf = (text: string): string => text.replace(/\D/g, '').replace(/^00/, '');
const isPhone = (text: string): boolean => PHONE.test(text) && /^\d{7,15}$/.test(digitsOf(text));
/** Where a text need not be contact data, only what looks international is a number; so `reporting` reads links. */
const isContact = (text: string): boolean =>
  EMAIL.test(text.trim()) || (/^\s*(?:\+|00)/.test(text) && isPhone(text.trim()));

/** What a pseudonym looks like; one that is stored stays as it is when it is read again. */
const PSEUDONYM = /^(?:p_[a-z2-7]{26}|[a-z2-7]{26}@pseudonym\.invalid|\+999\d{12})$/;

/**
 * Returns the same token for the same e-mail address (case apart), phone number (its digits) or text, in every stream
 * and both products, so that rows still join. It has the form of what it stands for (no country has +999), and cannot
 * be computed without the key.
 */
export function createPseudonyms(key: Uint8Array): (value: string) => string {
  const digest = (kind: string, value: string) => createHmac('sha256', key).update(`${kind} ${value}`).digest();
  return (value) => {
    const text = value.trim();
    if (PSEUDONYM.test(text)) return text;
    if (EMAIL.test(text)) return `${base32(digest('email', text.toLowerCase()))}@pseudonym.invalid`;
    if (isPhone(text))
      return `+999${String(digest('phone', digitsOf(text)).readBigUInt64BE() % 10n ** 12n).padStart(12, '0')}`;
    return `p_${base32(digest('text', text))}`;
  };
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

function base32(bytes: Buffer): string {
  let bits = 0n;
  for (const byte of bytes.subarray(0, 17)) bits = (bits << 8n) | BigInt(byte);
  return Array.from({ length: 26 }, (_, index) => ALPHABET[Number((bits >> BigInt(index * 5)) & 31n)]).join('');
}
