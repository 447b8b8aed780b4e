/**
 * What the name of a field shows about its value: `clientIP`, `client_ip` and `CLIENTIP` are one name. Rules go by
 * parts, so that `zip` contains no `ip`; names written as one part are checked for known endings.
 */
export interface NameFacts {
  /** Opens an account, or pays: never stored. A flag reveals nothing and is kept. */
  readonly isSecret: boolean;
  /** Speaks of a token and may hold one: its value decides. */
  readonly token: 'one' | 'several' | null;
  readonly isTrace: boolean;
  readonly kind: ValueKind;
  /** Letters only: the name itself is no address and no key. */
  readonly isPlainName: boolean;
  /** The value of a pair such as `{ "name": "password", "value": "..." }`. */
  readonly isPairValue: boolean;
  readonly snake: string;
  readonly parts: readonly string[];
}

/**
 * How the shape of a value is read. `free_text`, `named`: what a person wrote stays, an address in it included.
 * `prose`: a whole value can be a trace, a part not. `numbered`: versions and phone numbers look like addresses.
 */
export type ValueKind = 'free_text' | 'named' | 'prose' | 'numbered' | 'id' | 'plain';

const KEPT_NAMES = 5000;
const LONGEST_NAME = 200;
const known = new Map<string, NameFacts>();

export function readName(key: string): NameFacts {
  const found = known.get(key);
  if (found !== undefined) return found;
  const facts = describe(key);
  // A record that is used as a map has no end of names.
  if (known.size >= KEPT_NAMES) known.clear();
  known.set(key, facts);
  return facts;
}

function describe(key: string): NameFacts {
  const parts = splitName(key.slice(0, LONGEST_NAME));
  const snake = parts.join('_');
  const compact = parts.join('');
  return {
    isSecret: isSecretName(parts, snake, compact),
    token: tokenOf(parts),
    isTrace: isTraceName(parts, snake, compact),
    kind: kindOf(key, parts),
    isPlainName: /^[A-Za-z_-]*$/.test(key),
    isPairValue: PAIR_VALUE.has(snake),
    snake,
    parts,
  };
}

function splitName(key: string): string[] {
  return key
    .normalize('NFKD')
    .replace(/[\p{M}\p{Cf}]/gu, '')
    .replace(/(?:IP|UA|API|JWT|OTP)(?:s|v\d)(?![a-z])/g, (part) => `_${part.toLowerCase()}_`)
    .replace(/([a-z\d])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3_$2')
    .toLowerCase()
    .split(/[^\p{L}\d]+/u)
    .filter((part) => part !== '');
}

export const setOf = (...lines: readonly string[]): ReadonlySet<string> =>
  new Set(lines.flatMap((line) => line.split(' ')));

const PAIR_VALUE = setOf('value values val content data');
export const PAIR_NAMES = ['name', 'key', 'field', 'header', 'label', 'id', 'param', 'property', 'k'] as const;

const SECRET_PARTS = setOf(
  'secret secrets pwd pwds psw authorization authorisation bearer otp totp jwt jwts csrf xsrf csrftoken cvv',
  'cvc cvv2 cvc2 iban p256dh phpsessid jsessionid setcookie salt hmac senha',
);
const SECRET_LAST_PART = setOf('pass pw auth');
const SECRET_INSIDE =
  /passw(?:or)?d|passwort|passphrase|passcode|kennwort|motdepasse|contrasena|wachtwoord|парол|securityanswer|pswd|resetpsw|credential|(?:api|private|secret|access)key|connectsid/;
const SECRET_END =
  /(?:secrets?|pwd|authorization|setcookie|(?:user|smtp|imap|db|ftp|ssh|mail|login|admin|auth|proxy|web)pass)$/;
const SECRET_KEY =
  /(?:^|_)(?:api|access|private|secret|auth|client|encryption|encrypt|signing|signature|ssh|rsa|hmac|aes|master|webhook|push|server|vapid|stripe|deploy|admin|service|shared|app)_?keys?(?:_(?:id|value|data|pem))?_?\d*$/;
const SECRET_CODE =
  /(?:^|_)(?:2_?fa|mfa|two_?factor|one_?time|verification|verify|recovery|backup|security|reset|activation|login|access|auth)_?(?:codes?|pins?)$|(?:^|_)(?:card|user|login|access|sim|atm)_?pin$/;
/** `vcard` and `vcard_id`, the business card, are not among them. */
const CARD =
  /(?:credit|debit|payment|bank)_?card|(?:^|_)card_?(?:number|no|num|nr|last|brand|exp|cv|holder|pin)|^cc_?(?:num|number|no|exp|cv)/;
const COOKIE_TALK = /(?:^|_)cookies?_(?:consent|policy|banner|notice|accepted|enabled|preferences?)/;

function isSecretName(parts: readonly string[], snake: string, compact: string): boolean {
  const last = parts.at(-1) ?? '';
  if (parts.some((part) => SECRET_PARTS.has(part.replace(/\d+$/, '')) || SECRET_PARTS.has(part))) return true;
  if (SECRET_LAST_PART.has(last) || SECRET_INSIDE.test(compact) || SECRET_END.test(compact)) return true;
  if (SECRET_KEY.test(snake) || SECRET_CODE.test(snake) || CARD.test(snake)) return true;
  if (/(?:^|_)cookies?\d*(?:_|$)/.test(snake)) return !COOKIE_TALK.test(snake);
  // `referral_token`, `pushToken`, `accesstoken`; a mere `token` is decided by its value.
  return /.token\d*$/.test(compact) && !parts.some((part) => AMOUNT.has(part));
}

/** Names of language models: `max_token`, `total_tokens`. */
const AMOUNT = setOf('max min total prompt completion input output used per nb num');
/** Facts about a token: `token_id`, `last_created_token_at`, `token_url` (an address has rules of its own). */
const ABOUT_TOKEN = setOf(
  'id ids type types count counts name names status state at on date created updated expires expiry',
  'expiration expired usage limit limits url urls link links',
);

function tokenOf(parts: readonly string[]): NameFacts['token'] {
  const at = parts.findIndex((part) => /tokens?\d*$/.test(part));
  if (at === -1 || parts.some((part) => AMOUNT.has(part))) return null;
  if (parts.slice(at + 1).some((part) => ABOUT_TOKEN.has(part))) return null;
  return /tokens\d*$/.test(parts[at] ?? '') ? 'several' : 'one';
}

const TRACE_PART =
  /^(?:x?ips?(?:\P{ASCII}.*)?|ipv[46]s?|ip[46]|ipaddr(?:ess(?:es)?)?|ipadress\w*|x?uas?|xff|useragents?)\d*$/u;
const TRACE_COMPACT = new RegExp(
  [
    '^(?:x?ips?|ua)\\d*$|useragent|ipaddr|ipv[46]|xforwarded|forwardedfor|remoteaddr|(?:peer|sock(?:et)?|inet|net|network)addr(?:ess(?:es)?)?$',
    '|(?:client|visitor|src|source|http|host|login|user|origin)addr$',
    '|(?:client|customer|visitor|guest|user|member|contact|lead|requester|sender|caller|peer|remote|real|proxy|source|src|origin|connecting',
    '|last|first|current|prev(?:ious)?|old|new|login|logon|sign_?in|sign_?up|signed|seen|registration|created|updated|public|private|local|internal|external',
    '|geo|lan|wan|host|server|browser|device|session|http|request|web|my|by|from|orig)ips?\\d*$',
  ].join(''),
);
/** Where an address leads to, or a flag: reveals nothing of the address itself. */
const ABOUT_IP = setOf(
  'country city region continent location geo timezone zone count version type status rating enabled allowed',
  'required',
);

function isTraceName(parts: readonly string[], snake: string, compact: string): boolean {
  const at = parts.findIndex((part) => TRACE_PART.test(part));
  if (at !== -1) return !parts.slice(at + 1).some((part) => ABOUT_IP.has(part));
  return TRACE_COMPACT.test(compact) && !ABOUT_IP.has(parts.at(-1) ?? '') && snake !== '';
}

const FREE_TEXT = setOf('text subject message msg body transcript reply answer question');
const NAMED = setOf('name names fullname firstname lastname nickname title company');
const PROSE = setOf('note notes comment comments description label summary reason tag tags');
const NUMBERED = setOf(
  'version versions ver build release revision rev firmware sdk os phone mobile cell fax tel telephone',
  'whatsapp msisdn',
);

function kindOf(key: string, parts: readonly string[]): ValueKind {
  const last = parts.at(-1) ?? '';
  if (key === '_id' || key === 'id') return 'id';
  if (parts.some((part) => NUMBERED.has(part))) return 'numbered';
  if (FREE_TEXT.has(last) || last.endsWith('message')) return 'free_text';
  if (NAMED.has(last)) return 'named';
  return PROSE.has(last) ? 'prose' : 'plain';
}
