import type { Privacy } from '../../stream.ts';
import { dropEntries } from '../redact.ts';

/**
 * What is never stored, and what only with a setting. Rules go by the name of a field at any depth, in snake_case whatever its spelling, because the same
 * objects come nested in each other (a leader in a project, a project in a visit) and servers of different years add fields of their own.
 * Short names of the sources as in the reference of the API: MS2, MS2a and MS3 are Tilkee's connector definitions, PHP the third-party OpenAPI file.
 */
type Rule = (name: string, value: unknown) => boolean;

/** A copy without what the settings forbid; the same object when there is nothing to drop. */
export function redactTilkee(record: unknown, privacy: Privacy): unknown {
  const rules: Rule[] = [isAccountSecret];
  if (!privacy.storeVisitorPii) rules.push(isVisitorTrace);
  if (!privacy.storeLinks) rules.push(isConfidentialLink);
  return dropEntries(record, (key, value) => {
    const name = toSnakeCase(key);
    return rules.some((rule) => rule(name, value));
  });
}

const toSnakeCase = (key: string): string =>
  key
    .replace(/([a-z\d])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3_$2')
    .replaceAll('-', '_')
    .toLowerCase();

/** Words that make a name one of an account's secrets, wherever in the name they stand. */
const SECRET_WORDS = new Set([
  // PHP: `password_changed_at` of users; the others by prudence.
  ...['password', 'passwd', 'secret', 'secrets', 'credential', 'credentials', 'authorization', 'apikey', 'otp'],
  // PHP: `subscription_has_payment`, `slimpay_validated`, `has_proabono` of companies; MS2a has payment hints on the leader.
  ...['payment', 'payments', 'slimpay', 'proabono', 'stripe', 'billing', 'iban', 'bic', 'sepa', 'bank'],
  // PHP: `intercom_id` of users; MS2a has a support-chat token on the leader.
  ...['intercom', 'crisp', 'zendesk', 'drift', 'chat'],
]);

/** `vcard` and `vcard_id`, the business card, are not among them. */
const SECRET_PART = /(?:credit|debit)_?card|(?:^|_)card_(?:number|last|brand|exp|cv|holder)/;
const KEY = /(?:^|_)(?:api|access|private|secret|auth|client|encryption)_keys?(?:_id)?$/;

/** Dropped whatever the settings: section 2.2 of the reference, "that the mirror must drop". */
function isAccountSecret(name: string, value: unknown): boolean {
  if (name.split('_').some((word) => SECRET_WORDS.has(word)) || SECRET_PART.test(name) || KEY.test(name)) return true;
  // PHP: `referral_token` and `convert_token` of users. `token_id`, `tokens_count` or `last_created_token_at` speak of links.
  if (/.token$/.test(name)) return true;
  // On a visit it is the link as an object, or its id; any other text opens something. An address is for the rules of addresses.
  if (name === 'token') return isWords(value) && !isAddress(value);
  // PHP: of users, between the tokens; an id of some outside service.
  return name === 'dj_json_id';
}

/** SUG: `platform.ip`; MS2: `user_agent` of visits; the endings cover `last_sign_in_ip` and the like, the variants those of the Tiledesk side. */
const VISITOR = /(?:^|_)(?:ips?|ipv[46]|ip_?addr(?:ess(?:es)?)?|remote_addr(?:ess)?|forwarded_for|user_?agents?)$/;
const USER_AGENT_TEXT = /^(?:Mozilla|Opera|Dalvik|okhttp)\/\d/;

/** `STORE_VISITOR_PII`: section 4.5. A browser's name is kept, unless what stands there is the user agent itself. */
function isVisitorTrace(name: string, value: unknown): boolean {
  if (VISITOR.test(name)) return true;
  return /browser|client|agent|platform/.test(name) && typeof value === 'string' && USER_AGENT_TEXT.test(value);
}

/** MS2: `preview_new` (signed), MS2a and PHP: `preview`, `preview_url`; MS2 and MS3: `iframe`, `iframes`, whose addresses may embed credentials. */
const EMBEDDED = /(?:^|_)(?:previews?|i_?frames?)(?:_|$)/;
/** PHP: `link` of tokens; MS2a and PHP: `token_url`; MS2: `s3_url`, `content_url`, `thumbnail_url`, `thumbnail_page_url` of items. */
const ADDRESS = /(?:^|_)links?$|_urls?$|^urls$/;
/** PHP: `linkedin_account_url` and its like, of users and business cards: public profiles. */
const PROFILE = /_account_url$/;

/** `TILKEE_STORE_LINKS`: section 4.5. Counts such as `nb_links` are kept, also as text. */
function isConfidentialLink(name: string, value: unknown): boolean {
  // MS3: `images` of items hold an address for every page.
  if (EMBEDDED.test(name) || name === 'images') return true;
  // A text on V2 projects (signs in), on V3 items and in webhooks' tokens; a map on V3 projects, of addresses inside the web app, to which these rules apply.
  if (name === 'url') return typeof value === 'string' || Array.isArray(value);
  if (name === 'token') return isAddress(value);
  return ADDRESS.test(name) && !PROFILE.test(name) && (isWords(value) || (typeof value === 'object' && value !== null));
}

/** Text that is no number. */
function isWords(value: unknown): boolean {
  return typeof value === 'string' && !/^\s*\d*\s*$/.test(value);
}

const isAddress = (value: unknown): boolean => typeof value === 'string' && value.includes('://');
