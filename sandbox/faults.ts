/** Scripted trouble for a simulated upstream. Knows HTTP answers and list names, no product. */
import { Random } from './random.ts';

export type FaultKind =
  | '429'
  | '503'
  | '500'
  | '401-text'
  | 'cut'
  | 'slow'
  | 'hang'
  | 'html-200'
  | 'garbled-json'
  | 'empty-list'
  | 'truncated-page'
  | 'reset';

export type RetryAfterForm = 'seconds' | 'date' | 'none';

/** What a rule, a hook or a test sees of a call. */
export interface CallInfo {
  /** Which list or action: `leads`, `requests`, `lead`, `signin`, ... */
  readonly list: string;
  /** How many calls of this list there were, this one included. */
  readonly nth: number;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** The rows of an answer, in `afterAnswer`. */
export interface AnswerInfo extends CallInfo {
  readonly status: number;
  readonly ids: readonly string[];
}

export interface FaultRule {
  readonly kind: FaultKind;
  /** `nth` counts the calls this rule has seen of that list, from 1. Absent: every call. */
  readonly match?: ((info: CallInfo) => boolean) | { readonly list?: string; readonly nth?: number };
  /** How often it strikes; 1 unless told, `Infinity` for ever. */
  readonly times?: number;
  /** For 429 and 503; `seconds` for 429, `none` for 503 unless told. `raw` sends any text. */
  readonly retryAfter?: RetryAfterForm | { readonly raw: string };
  /** How long Retry-After asks to wait; 1,000 unless told. */
  readonly retryAfterMs?: number;
  /** For `slow`; 1,000 unless told. */
  readonly delayMs?: number;
}

export interface RandomFaults {
  /** Share of calls that go wrong, 0 to 1. */
  readonly rate: number;
  readonly kinds: readonly FaultKind[];
  readonly seed: number;
  readonly retryAfterMs?: number;
  readonly delayMs?: number;
}

interface ActiveRule {
  readonly rule: FaultRule;
  left: number;
  seen: number;
}

export class Faults {
  /** Called around each list answer, synchronously: before the rows are read, and after, before they are sent. */
  beforeAnswer: ((info: CallInfo) => void) | undefined;
  afterAnswer: ((info: AnswerInfo) => void) | undefined;
  /** Rows with equal sort keys change places from query to query. */
  shuffleTies = false;
  /** Refuse every call of the project with a JSON 401, before authentication. */
  ipFilter: 'off' | 'filter' | 'deny' | 'ban' = 'off';
  /** Shifts the Date header against the real time. */
  dateOffsetMs = 0;
  readonly #rules: ActiveRule[] = [];
  #random: { readonly plan: RandomFaults; readonly generator: Random } | undefined;
  readonly #onRevoke: () => void;

  constructor(onRevoke: () => void) {
    this.#onRevoke = onRevoke;
  }

  push(...rules: readonly FaultRule[]): void {
    for (const rule of rules) this.#rules.push({ rule, left: rule.times ?? 1, seen: 0 });
  }

  /** Chaos by share of calls; `undefined` ends it. Pushed rules go first. */
  random(plan: RandomFaults | undefined): void {
    this.#random = plan && { plan, generator: new Random(plan.seed) };
  }

  /** Forgets rules, chaos, hooks and switches; revoked tokens stay revoked. */
  clear(): void {
    this.#rules.length = 0;
    this.#random = undefined;
    this.beforeAnswer = undefined;
    this.afterAnswer = undefined;
    this.shuffleTies = false;
    this.ipFilter = 'off';
    this.dateOffsetMs = 0;
  }

  /** All tokens given out so far are refused from now on. */
  revokeTokens(): void {
    this.#onRevoke();
  }

  /** The trouble this call is to have, if any; uses the rule up. */
  take(info: CallInfo): FaultRule | undefined {
    for (const active of this.#rules) {
      if (active.left <= 0 || !strikes(active, info)) continue;
      active.left--;
      return active.rule;
    }
    if (!this.#random) return undefined;
    const { plan, generator } = this.#random;
    if (!generator.chance(plan.rate)) return undefined;
    const { retryAfterMs, delayMs } = plan;
    return {
      kind: generator.pick(plan.kinds),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(delayMs !== undefined && { delayMs }),
    };
  }
}

function strikes(active: ActiveRule, info: CallInfo): boolean {
  const { match } = active.rule;
  if (!match) return true;
  if (typeof match === 'function') return match(info);
  if (match.list !== undefined && match.list !== info.list) return false;
  active.seen++;
  return match.nth === undefined || match.nth === active.seen;
}

export interface RetryAfterHint {
  readonly headers: Readonly<Record<string, string>>;
  readonly ms: number | undefined;
}

/** Both forms have a resolution of one second and round up: waiting as told is always enough. */
export function retryAfterHeader(form: FaultRule['retryAfter'], ms: number): RetryAfterHint {
  if (form === undefined || form === 'none') return { headers: {}, ms: undefined };
  if (typeof form === 'object') return { headers: { 'Retry-After': form.raw }, ms: undefined };
  if (form === 'seconds') {
    const seconds = Math.ceil(ms / 1000);
    return { headers: { 'Retry-After': String(seconds) }, ms: seconds * 1000 };
  }
  const until = Math.ceil((Date.now() + ms) / 1000) * 1000;
  return { headers: { 'Retry-After': new Date(until).toUTCString() }, ms: until - Date.now() };
}
