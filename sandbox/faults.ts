/** Scripted trouble for a simulated upstream: which calls it meets, and what it makes of their answers. */
import { type Answer, type AnswerInfo, type CallInfo, json, type SandboxReply } from './answer.ts';
import { Random } from './random.ts';

export type FaultKind = keyof typeof spoilers;

export type RetryAfterForm = 'seconds' | 'date' | 'none';

export interface FaultRule {
  readonly kind: FaultKind;
  /** `nth` counts the calls this rule has seen of that list, from 1. Absent: every call. */
  readonly match?: ((info: CallInfo) => boolean) | { readonly list?: string; readonly nth?: number };
  /** How often it strikes; default 1, `Infinity` for ever. */
  readonly times?: number;
  /** For 429 and 503; default `seconds` for 429, `none` for 503. `raw` sends any text. */
  readonly retryAfter?: RetryAfterForm | { readonly raw: string };
  /** How long Retry-After asks to wait; default 1,000. */
  readonly retryAfterMs?: number;
  readonly delayMs?: number;
}

interface RandomFaults extends Pick<FaultRule, 'retryAfterMs' | 'delayMs'> {
  readonly rate: number;
  readonly kinds: readonly FaultKind[];
  readonly seed: number;
}

export class Faults {
  /** Called around each list answer, synchronously: before the rows are read, and after, before they are sent. */
  beforeAnswer: ((info: CallInfo) => void) | undefined;
  afterAnswer: ((info: AnswerInfo) => void) | undefined;
  /** What a list of leads or requests reports instead of how many rows match. */
  reportCount: ((count: number, info: CallInfo) => number) | undefined;
  /** Rows with equal sort keys change positions from query to query. */
  shuffleTies = false;
  /** Refuse every call of the project with a JSON 401, before authentication. */
  ipFilter: 'off' | 'filter' | 'deny' | 'ban' = 'off';
  dateOffsetMs = 0;
  readonly #rules: { readonly rule: FaultRule; left: number; readonly strikes: (info: CallInfo) => boolean }[] = [];
  #random: (() => FaultRule | undefined) | undefined;
  /** All tokens given out so far are refused from now on. */
  readonly revokeTokens: () => void;

  constructor(revokeTokens: () => void) {
    this.revokeTokens = revokeTokens;
  }

  push(...rules: readonly FaultRule[]): void {
    for (const rule of rules) this.#rules.push({ rule, left: rule.times ?? 1, strikes: matcherOf(rule) });
  }

  /** Chaos by share of calls; `undefined` ends it. Pushed rules go first. */
  random(plan: RandomFaults | undefined): void {
    const random = new Random(plan?.seed ?? 0);
    this.#random = plan && (() => (random.chance(plan.rate) ? { ...plan, kind: random.pick(plan.kinds) } : undefined));
  }

  /** Clears rules, chaos, hooks and switches; revoked tokens stay revoked. */
  clear(): void {
    this.#rules.length = 0;
    this.#random = undefined;
    this.beforeAnswer = undefined;
    this.afterAnswer = undefined;
    this.reportCount = undefined;
    this.shuffleTies = false;
    this.ipFilter = 'off';
    this.dateOffsetMs = 0;
  }

  take(info: CallInfo): FaultRule | undefined {
    for (const active of this.#rules) {
      if (active.left <= 0 || !active.strikes(info)) continue;
      active.left--;
      return active.rule;
    }
    return this.#random?.();
  }
}

function matcherOf({ match = {} }: FaultRule): (info: CallInfo) => boolean {
  if (typeof match === 'function') return match;
  const { list, nth } = match;
  let seen = 0;
  return (info) => (list === undefined || list === info.list) && (nth === undefined || nth === ++seen);
}

/** The header, and the wait it asks for: whole seconds, rounded up, so that this wait is enough. */
export function retryAfterHeader(
  form: NonNullable<FaultRule['retryAfter']>,
  ms: number,
): { readonly headers: Readonly<Record<string, string>>; readonly ms?: number } {
  if (form === 'none') return { headers: {} };
  if (typeof form === 'object') return { headers: { 'Retry-After': form.raw } };
  if (form === 'seconds') {
    const seconds = Math.ceil(ms / 1000);
    return { headers: { 'Retry-After': String(seconds) }, ms: seconds * 1000 };
  }
  const until = Math.ceil((Date.now() + ms) / 1000) * 1000;
  return { headers: { 'Retry-After': new Date(until).toUTCString() }, ms: until - Date.now() };
}

export function gatewayAnswer(
  status: 429 | 503,
  retryAfter: NonNullable<FaultRule['retryAfter']>,
  retryAfterMs = 1000,
): Answer {
  const { headers, ms } = retryAfterHeader(retryAfter, retryAfterMs);
  if (status === 429) return { ...json({ message: 'Rate limit exceeded' }, 429), headers, retryAfterMs: ms };
  const body = '<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>';
  return { status, body, type: 'html', headers, retryAfterMs: ms };
}

const gatewayPage = '<html><head><title>Please wait</title></head><body><h1>Please wait</h1></body></html>';

interface Spoiled {
  readonly rule: Omit<FaultRule, 'kind'>;
  /** Makes the answer that the call would have had, with all its effects. */
  readonly answer: () => SandboxReply;
  readonly refuse: () => Answer;
}

/** The reply that a call gets instead. `slow` and `cut` are a matter of sending. */
const spoilers = {
  '429': ({ rule }) => gatewayAnswer(429, rule.retryAfter ?? 'seconds', rule.retryAfterMs),
  '503': ({ rule }) => gatewayAnswer(503, rule.retryAfter ?? 'none', rule.retryAfterMs),
  '500': () => json({ err: 'error' }, 500),
  '401-text': ({ refuse }) => refuse(),
  'html-200': () => ({ status: 200, body: gatewayPage, type: 'html' }),
  hang: () => 'hang',
  reset: () => 'reset',
  slow: ({ answer }) => answer(),
  cut: ({ answer }) => answer(),
  'garbled-json': ({ answer }) => distorted(answer(), garble),
  'empty-list': ({ answer }) => distorted(answer(), (body) => withRows(body, () => [], { count: 0 })),
  'truncated-page': ({ answer }) => distorted(answer(), (body) => withRows(body, firstHalf)),
} satisfies Readonly<Record<string, (spoiled: Spoiled) => SandboxReply>>;

export const FAULT_KINDS = Object.keys(spoilers) as readonly FaultKind[];

export const spoil = (kind: FaultKind, spoiled: Spoiled): SandboxReply => spoilers[kind](spoiled);

const distorted = (reply: SandboxReply, change: (body: string) => string): SandboxReply =>
  typeof reply === 'object' && reply.type === 'json'
    ? { status: reply.status, type: 'json', body: change(reply.body) }
    : reply;

const garble = (body: string): string =>
  `${body.slice(0, body.length >> 1)}\u0000]]${body.slice((body.length >> 1) + 3)}`;
const firstHalf = (rows: unknown[]): unknown[] => rows.slice(0, rows.length >> 1);

function withRows(body: string, change: (rows: unknown[]) => unknown[], envelope: object = {}): string {
  const value: unknown = JSON.parse(body);
  if (Array.isArray(value)) return JSON.stringify(change(value));
  const fields = Object.entries({ ...(value as object), ...envelope });
  return JSON.stringify(
    Object.fromEntries(fields.map(([key, field]) => [key, Array.isArray(field) ? change(field) : field])),
  );
}
