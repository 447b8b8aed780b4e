import type { Privacy } from '../stream.ts';
import { type NameFacts, PAIR_NAMES, readName, setOf } from './field-names.ts';
import { DROPPED, rewriteEntries } from './redact.ts';
import { isAddress, isCardNumber, isSecretText, scrubText } from './value-shapes.ts';

/**
 * What is never stored, and what only with a setting, for all sources. A name decides in any spelling, at any depth;
 * where it does not, the shape of the value or of a part of it decides. Secrets of accounts go whatever the settings.
 */
interface PrivacyRules extends Privacy {
  /** `token` is also a tracked link, by id or as an object; accounts have marks of payment and support chats. */
  readonly isTilkee: boolean;
}

export const redactTiledesk = (record: unknown, { storeVisitorPii }: Pick<Privacy, 'storeVisitorPii'>): unknown =>
  redact(record, { storeVisitorPii, storeLinks: true, isTilkee: false });

export const redactTilkee = (record: unknown, privacy: Privacy): unknown =>
  redact(record, { ...privacy, isTilkee: true });

/** Leaves out secrets of accounts only. */
export const redactSecrets = (record: unknown): unknown => redactTiledesk(record, { storeVisitorPii: true });

/** @throws RangeError when the record is nested too deeply */
function redact(record: unknown, rules: PrivacyRules): unknown {
  return rewriteEntries(record, (key, value, object) => keptOf(key, value, object, rules));
}

function keptOf(
  key: string,
  value: unknown,
  object: Readonly<Record<string, unknown>> | null,
  rules: PrivacyRules,
): unknown {
  if (value === null || value === undefined) return value;
  const facts = readName(key);
  if (object !== null) {
    if (isForbidden(facts, value, rules) || (!facts.isPlainName && scrubKey(key, rules) !== key)) return DROPPED;
    if (facts.isPairValue && isForbiddenPair(object, value, rules)) return DROPPED;
  }
  if (typeof value === 'string') return scrubValue(value, facts, rules);
  const mayBeCard = typeof value === 'number' && value >= 1e12 && facts.kind !== 'numbered' && facts.kind !== 'id';
  return mayBeCard && isCardNumber(String(value)) ? DROPPED : value;
}

function isForbidden(facts: NameFacts, value: unknown, rules: PrivacyRules): boolean {
  if (rules.isTilkee && isTilkeeSecret(facts)) return true;
  // A flag reveals nothing.
  if (typeof value === 'boolean') return false;
  if (facts.isSecret || (facts.token !== null && isToken(facts, value, rules))) return true;
  if (!rules.storeVisitorPii && facts.isTrace) return true;
  return rules.isTilkee && !rules.storeLinks && isConfidentialLink(facts.snake, value);
}

/** `token_id`, `tokens_count` or `last_created_token_at` speak of tokens and are none; `readName` has left them out. */
function isToken(facts: NameFacts, value: unknown, { isTilkee }: PrivacyRules): boolean {
  if (!isTilkee && facts.token === 'one') return true;
  const isOne = (inner: unknown) => typeof inner === 'string' && isSecretText(facts, inner) && !isAddress(inner);
  if (Array.isArray(value)) return value.some(isOne);
  return typeof value === 'object' ? !isTilkee : isOne(value);
}

function isForbiddenPair(object: Readonly<Record<string, unknown>>, value: unknown, rules: PrivacyRules): boolean {
  return PAIR_NAMES.some((name) => {
    const named = object[name];
    return typeof named === 'string' && named.length <= 64 && isForbidden(readName(named), value, rules);
  });
}

const scrubKey = (key: string, { storeVisitorPii }: PrivacyRules) =>
  scrubText(key, { kind: 'plain', dropsTraces: !storeVisitorPii, keepsLinks: false });

function scrubValue(text: string, facts: NameFacts, rules: PrivacyRules): unknown {
  const json = readJson(text);
  if (json !== null) {
    const kept = redact(json, rules);
    return kept === json ? text : JSON.stringify(kept);
  }
  const keepsLinks = rules.isTilkee && rules.storeLinks;
  return scrubText(text, { kind: facts.kind, dropsTraces: !rules.storeVisitorPii, keepsLinks }) ?? DROPPED;
}

function readJson(text: string): object | null {
  const [first, last] = [text.charCodeAt(0), text.charCodeAt(text.length - 1)];
  if (!(first === 123 && last === 125) && !(first === 91 && last === 93)) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Sources as the reference of the API names them: MS2, MS2a, MS3 are Tilkee's connector definitions, PHP the
 * third-party OpenAPI file. Its section 2.2, "that the mirror must drop".
 */
const TILKEE_SECRET_PARTS = setOf(
  // PHP: `subscription_has_payment`, `slimpay_validated`, `has_proabono` of companies; MS2a: hints on the leader.
  'payment payments slimpay proabono stripe billing iban bic sepa bank',
  // PHP: `intercom_id` of users; MS2a has a support-chat token on the leader.
  'intercom crisp zendesk drift chat',
);

/** PHP: `dj_json_id` of users, between the tokens; an id of some outside service. */
function isTilkeeSecret({ parts, snake }: NameFacts): boolean {
  return snake === 'dj_json_id' || parts.some((part) => TILKEE_SECRET_PARTS.has(part));
}

/** MS2: `preview_new`; MS2a, PHP: `preview`, `preview_url`; MS2, MS3: `iframe(s)`. They may embed credentials. */
const EMBEDDED = /(?:^|_)(?:previews?|i_?frames?)(?:_|$)/;
/** PHP: `link` of tokens; MS2a, PHP: `token_url`; MS2: `s3_url`, `content_url`, `thumbnail(_page)_url` of items. */
const ADDRESS = /(?:^|_)links?$|_urls?$|^urls$/;
/** PHP: `linkedin_account_url` and its like, of users and business cards: public profiles. */
const PROFILE = /_account_url$/;

/** `TILKEE_STORE_LINKS`: section 4.5. Counts such as `nb_links` are kept, also as text. */
function isConfidentialLink(name: string, value: unknown): boolean {
  // MS3: `images` of items hold an address for every page.
  if (EMBEDDED.test(name) || name === 'images') return true;
  // A text on V2 projects (signs in), V3 items and webhooks' tokens; on V3 projects a map, to which these rules apply.
  if (name === 'url') return typeof value === 'string' || Array.isArray(value);
  if (name === 'token') return isAddress(value);
  return ADDRESS.test(name) && !PROFILE.test(name) && (isProse(value) || typeof value === 'object');
}

function isProse(value: unknown): boolean {
  return typeof value === 'string' && !/^\s*\d*\s*$/.test(value);
}
