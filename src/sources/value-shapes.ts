import { isIPv4, isIPv6 } from 'node:net';
import { type NameFacts, readName, type ValueKind } from './field-names.ts';

const REMOVED = '[removed]';

const DATE = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)$/;
const KEY_HINT =
  /eyJ|PRIVATE KEY|[Bb]earer|BEARER|[Bb]asic|BASIC|(?:AK|AS)IA|AIza|_live_|_test_|whsec_|gh[pousr]_|_pat_|glpat-|xox|SG\.|sk-|ya29|npm_|\$2|\$argon2|\$[156]\$|hooks\.slack/;
const SHORTEST_KEY = 12;
const SHORTEST_CARD = 13;

const MAY_HOLD = { key: 1, card: 2, login: 4, parameter: 8, header: 16, address: 32, agent: 64 } as const;

/** By one look at its characters; 0 of nearly every text: the expressions below are tried only for the rest. */
function lookAt(text: string): number {
  let [colons, dots, digits, letters, others, inRow, mostInRow] = [0, 0, 0, 0, 0, 0, 0];
  let [hasSlash, hasEquals] = [false, false];
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code >= 48 && code <= 57) {
      digits += 1;
      inRow += 1;
      if (inRow > mostInRow) mostInRow = inRow;
      continue;
    }
    if (code === 45 || code === 32) continue;
    inRow = 0;
    if (code >= 97 && code <= 102) letters += 1;
    else {
      others += 1;
      if (code === 58) colons += 1;
      else if (code === 46) dots += 1;
      else if (code === 61) hasEquals = true;
      else if (code === 47 || code === 37) hasSlash = true;
    }
  }
  const card = mostInRow >= SHORTEST_CARD ? MAY_HOLD.card : 0;
  // Ids are hexadecimal; dates have the colons of an address.
  if (others === 0) return letters === 0 ? card : 0;
  if (text.length < 36 && text.charCodeAt(10) === 84 && DATE.test(text)) return 0;
  let found = card;
  if (text.length >= SHORTEST_KEY && KEY_HINT.test(text)) found |= MAY_HOLD.key;
  if (colons > 1 && hasSlash && text.includes('@')) found |= MAY_HOLD.login;
  if (hasEquals) found |= MAY_HOLD.parameter;
  if (colons > 1 || (colons > 0 && !text.includes('://'))) found |= MAY_HOLD.header;
  if (colons > 1 || (dots > 2 && digits > 3)) found |= MAY_HOLD.address;
  if (hasSlash && digits > 0) found |= MAY_HOLD.agent;
  return found;
}

/** Keys that open an account. Distinct enough to be removed from free text, too. */
const KEYS = new RegExp(
  [
    '-----BEGIN [A-Z ]{0,40}PRIVATE KEY[A-Z ]{0,40}-----[\\s\\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY[A-Z ]{0,40}-----|$)',
    '\\b(?:(?:JWT|Bearer|Token)\\s+)?eyJ[\\w-]{6,}(?:\\.[\\w-]*){1,4}',
    '\\bBearer\\s+(?=[^\\s,;"\']*\\d)[^\\s,;"\']{8,}',
    '\\b(?:AKIA|ASIA)[0-9A-Z]{16}\\b',
    '\\b(?:sk|rk|pk)_(?:live|test)_\\w{8,}',
    '\\bwhsec_\\w{16,}|\\bgh[pousr]_\\w{20,}|\\bgithub_pat_\\w{20,}|\\bglpat-[\\w-]{16,}|\\bxox[abeprs]-[\\w-]{8,}|\\bAIza[\\w-]{30,}',
    '\\bSG\\.[\\w-]{16,}\\.[\\w-]{16,}|\\bsk-[\\w-]{20,}|\\bya29\\.[\\w-]{20,}|\\bnpm_\\w{30,}',
    '\\$2[abxy]\\$\\d\\d\\$[./\\w]{53}|\\$argon2\\w*\\$[^\\s"]+|\\$[156]\\$[^\\s"$]+\\$[./\\w]{20,}',
    'https://hooks\\.slack\\.com/services/[\\w/]+',
  ].join('|'),
  'gi',
);
const BASIC = /\bBasic\s+([\w+/-]{6,}={0,2})/gi;
const USER_INFO = /:\/\/[^\s/?#@"'<>:]*:[^\s/?#@"'<>]+@/g;
const CARD = /(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)/g;
const PARAMETER = /([?&])([\w.[\]%-]{1,64})=([^&#\s"'<>]+)/g;
const ASSIGNMENT = /(^|[?&#;\s,{([|])([\w.[\]%-]{1,64})=("[^"]*"|'[^']*'|[^&#;\s"'<>,)]+)/g;
/** A part of JSON, or what looks like it. */
const QUOTED = /(["'])([\w.-]{1,64})\1(\s{0,9}:\s{0,9})("[^"]*"|'[^']*'|[^,}\]\s"']+)/g;
const HEADER = /(^|[\r\n])([A-Za-z][\w -]{0,40}):[ \t]*([^\r\n]+)/g;

interface TextRules {
  readonly kind: ValueKind;
  readonly dropsTraces: boolean;
  /** Parameters of public links stay, where those are stored. */
  readonly keepsLinks: boolean;
}

/** The text without what must not be stored; `null` when nothing else is left. */
export function scrubText(text: string, rules: TextRules): string | null {
  const found = lookAt(text);
  if (found === 0) return text;
  const { kind } = rules;
  const may = (what: keyof typeof MAY_HOLD) => (found & MAY_HOLD[what]) !== 0;
  let kept = text;
  if (may('key')) {
    kept = kept.replace(KEYS, REMOVED).replace(BASIC, (all, code: string) => (isLogin(code) ? REMOVED : all));
  }
  if (may('login')) kept = kept.replace(USER_INFO, `://${REMOVED}@`);
  if (may('card') && kind !== 'numbered' && kind !== 'id') {
    kept = kept.replace(CARD, (all) => (isCardNumber(all) ? REMOVED : all));
  }
  if (may('parameter') || may('header')) kept = scrubNamed(kept, rules);
  if (rules.dropsTraces && (may('address') || may('agent'))) kept = scrubTraces(kept, kind);
  return kept !== text && !/\p{L}/u.test(kept.replaceAll(REMOVED, '')) ? null : kept;
}

/** Values that the text names: `name=value`, headers, parameters of an address (the only ones read in prose). */
function scrubNamed(text: string, { kind, dropsTraces, keepsLinks }: TextRules): string {
  if (keepsLinks && isAddress(text)) return text;
  const isProse = kind === 'free_text' || kind === 'named' || kind === 'prose';
  const isForbidden = (name: string, value: string) => {
    const facts = readName(name);
    return isSecretText(facts, value) || (dropsTraces && !isProse && facts.isTrace);
  };
  const kept = text.replace(isProse ? PARAMETER : ASSIGNMENT, (all, before: string, name: string, value: string) =>
    isForbidden(name, value) ? `${before}${name}=${REMOVED}` : all,
  );
  if (isProse) return kept;
  const unquoted = kept.replace(QUOTED, (all, quote: string, name: string, between: string, value: string) =>
    isForbidden(name, value.replace(/^["']|["']$/g, '')) ? `${quote}${name}${quote}${between}"${REMOVED}"` : all,
  );
  return unquoted.replace(HEADER, (all, before: string, name: string, value: string) =>
    isForbidden(name, value) ? `${before}${name}: ${REMOVED}` : all,
  );
}

/** Whether a text under this name is a secret; numbers and facts about tokens are not. */
export function isSecretText({ isSecret, token }: NameFacts, value: string): boolean {
  return isSecret || (token !== null && !/^\s*\d*\s*$/.test(value));
}

export const isAddress = (value: unknown): boolean => typeof value === 'string' && value.includes('://');

function isLogin(code: string): boolean {
  const text = Buffer.from(code, 'base64').toString('latin1');
  return /^[\x20-\x7e\xa0-\xff]*:[\x20-\x7e\xa0-\xff]*$/.test(text);
}

/** Cards of the great networks, by their first digits and check digit. */
const NETWORKS =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14}|62\d{14,17}|(?:50|5[6-9]|6[0-9])\d{14})$/;

export function isCardNumber(text: string): boolean {
  const digits = text.replace(/\D/g, '');
  if (!NETWORKS.test(digits)) return false;
  let sum = 0;
  for (let index = 0; index < digits.length; index += 1) {
    const digit = Number(digits[digits.length - 1 - index]);
    const doubled = index % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

const OCTET = '(?:25[0-5]|2[0-4]\\d|[01]?\\d?\\d)';
/** An address is complete: no part of a longer number, name or release; of a web address it names the server. */
const IPV4 = new RegExp(
  `(?:(?<![\\da-z.]|https?://)|(?<=%[\\da-f]{2}))(?:${OCTET}\\.){3}${OCTET}(?![\\da-z]|\\.\\d|-(?:alpha|beta|rc|pre|dev))`,
  'gi',
);
const IPV6 =
  /(?<![\w:.]|https?:\/\/\[)(?:[\da-f]{0,4}:){2,8}(?:(?:\d{1,3}\.){3}\d{1,3}|[\da-f]{0,4})(?![\w:])(?:%[\w.-]+)?/gi;
/** `119.0.0.0`, the version that browsers send, is no visitor's address. */
const NO_HOST = /\.0\.0\.0$/;

const PRODUCT = '[a-z][\\w.+-]{0,40}/v?\\d[\\w.+-]{0,40}';
const REST = `(?:\\s+(?:\\([^()]*(?:\\([^()]*\\)[^()]*)*\\)|${PRODUCT}|\\[[^\\]]*\\]|mobile|safari|version|like gecko|[a-z]\\b))*`;
const AGENT = new RegExp(
  `\\b(?:(?:mozilla|opera|dalvik|okhttp|curl|wget|postmanruntime|python-requests|python-urllib|axios|node-fetch|go-http-client|java|apache-httpclient|cfnetwork|facebookexternalhit|googlebot|bingbot|ruby|libwww-perl|insomnia|undici|got)(?:/|%2f)v?\\d[^\\s"'<>&]*|${PRODUCT}\\s+\\([^()]*\\))${REST}`,
  'gi',
);
/** Whatever follows these belongs to them, to the end of the line. */
const BROWSER = /\b(?:mozilla|opera|dalvik)(?:\/|%2f)\d[^"'\r\n<>&]*/gi;
const BROWSER_FIRST = /^\s*(?:mozilla|opera|dalvik)(?:\/|%2f)\d/i;
const WHOLE_AGENT = new RegExp(`^\\s*(${PRODUCT})(${REST})\\s*$`, 'i');

function scrubTraces(text: string, kind: ValueKind): string {
  if (kind === 'free_text' || kind === 'id') return text;
  if (isWholeAgent(text, kind) || BROWSER_FIRST.test(text)) return REMOVED;
  if (kind === 'named') return text;
  let kept = text.replace(BROWSER, REMOVED).replace(AGENT, REMOVED);
  kept = kept.replace(IPV6, (all) => (isIPv6(all.replace(/%.*/, '')) && /[\da-f]/i.test(all) ? REMOVED : all));
  if (kind !== 'numbered') {
    kept = kept.replace(IPV4, (all) => (isIPv4(all.replace(/\b0+(?=\d)/g, '')) && !NO_HOST.test(all) ? REMOVED : all));
  }
  // Of prose only what is nothing else.
  return kind === 'prose' && /\p{L}/u.test(kept.replaceAll(REMOVED, '')) ? text : kept;
}

/** `Name/1.2 (system) Engine/3`. A single product needs three parts: `docs/2024`, `chapter/1.2` are none. */
function isWholeAgent(text: string, kind: ValueKind): boolean {
  const found = WHOLE_AGENT.exec(text);
  const [, product = '', rest = ''] = found ?? [];
  if (found === null || /^http\//i.test(product)) return false;
  if (rest.trim() !== '') return kind !== 'named' || /^(?:mozilla|opera|dalvik)\//i.test(product);
  return kind !== 'numbered' && kind !== 'named' && /^[a-z][\w+-]{2,}\/v?\d+(?:\.\d+){2,}$/i.test(product);
}
