import pRetry from 'p-retry';
import type { Clock } from '../clock.ts';
import { counted } from '../counted.ts';
import { abortError, LeadmirrorError, RateLimitedError, TransientError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Lane } from '../stream.ts';
import type { RequestBudget, Taken } from './budget.ts';
import { formatOutage, formatTime, type OpenCircuit } from './circuit.ts';
import type { HttpClient, HttpRequest, HttpResponse } from './client.ts';
import { parseRateLimit } from './rate-limit-headers.ts';
import { interpret, isSuccess } from './response.ts';
import { failureReason, givenUpError, isPushback, planRetry } from './retry.ts';
import { hostAndPort, redactedPath } from './secure-url.ts';

/**
 * All waiting happens here: for a slot in the budget, for what the server asked, for a backoff:
 *
 *   budget.take -> wait -> client.send -> an answer, or an error -> report to budget and circuit -> wait or give up
 *
 * Callers interpret refusals (4xx) themselves; what passes by itself is retried here and nowhere above.
 */

export interface UpstreamOptions {
  readonly client: Pick<HttpClient, 'send'>;
  readonly budget: RequestBudget;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whose budget it is, for the log; no secret. */
  readonly credential?: string;
  readonly attempts?: number;
  /** Waiting and requests of one call together. No attempt *starts* later; one under way has its own limit. */
  readonly maxTotalMs: number;
  readonly random?: () => number;
}

export type UpstreamRequest = Omit<HttpRequest, 'signal'>;

export interface RequestOptions {
  readonly signal: AbortSignal;
  /** The longest single wait; beyond it the call ends with RateLimitedError (or TransientError) instead. */
  readonly maxWaitMs: number;
  /** Instead of the upstream's own. */
  readonly attempts?: number;
  /** Default `fast`. */
  readonly lane?: Lane;
  /** False: outside the budget; an open circuit still applies. Default true. */
  readonly budget?: boolean;
  /** False: a 2xx body is taken as text, whatever it is. Default true. */
  readonly expectJson?: boolean;
  /** Whether a refusal (3xx, 4xx) is the upstream's own; any other is tried again. Default: every one is. */
  readonly isOwnRefusal?: (response: UpstreamResponse) => boolean;
  readonly onRequest?: () => void;
}

/** Without the text of the body, which would be kept as long as what was read from it. */
export interface UpstreamResponse extends Omit<HttpResponse, 'text'> {
  /** Characters of the body. */
  readonly length: number;
  /** The parsed JSON; the text where JSON was not asked for, or a refusal is none; null for no body (204). */
  readonly body: unknown;
}

export interface Upstream {
  /**
   * Returns the first final answer: 2xx, or a refusal for the caller. @throws RateLimitedError, TransientError,
   * UpstreamContractError (`not_json`), ResponseTooLargeError, UpstreamRefusedError (`redirect_refused`), ConfigError,
   * or an AbortError when the signal fired.
   */
  request(request: UpstreamRequest, options: RequestOptions): Promise<UpstreamResponse>;
}

const DEFAULT_ATTEMPTS = 6;

export function createUpstream(parts: UpstreamOptions): Upstream {
  const { client, clock, logger, maxTotalMs, random = Math.random } = parts;

  async function sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 0 && !signal.aborted) {
      await clock.sleep(ms, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
    if (signal.aborted) throw abortError(signal);
  }

  return {
    async request(request, options) {
      const { signal, maxWaitMs, lane = 'fast' } = options;
      const attempts = Math.max(1, options.attempts ?? parts.attempts ?? DEFAULT_ATTEMPTS);
      const isCounted = options.budget !== false;
      const { budget } = parts;
      const startedAt = clock.now();
      const elapsedMs = () => clock.now() - startedAt;
      const facts = { method: request.method, path: redactedPath(request.url) };
      const host = hostAndPort(new URL(request.url));
      const circuit = createCircuitReporter({ ...parts, host });
      let taken: Taken | null = null;

      /** Waits for a slot; while the circuit is open, first for its wake-up or the end of a probe. */
      const enter = async (): Promise<void> => {
        for (let waitedMs = 0; ; ) {
          const mayWaitMs = Math.max(0, Math.min(maxWaitMs - waitedMs, maxTotalMs - elapsedMs()));
          const entry = isCounted ? await budget.take(mayWaitMs, lane) : await budget.circuit.enter();
          if (entry.granted) {
            taken = entry;
            await sleep(entry.waitMs, signal);
            // What was learnt while it waited applies to it too, such as another request's Retry-After.
            const isStale = isCounted && entry.waitMs > 0 && entry.probe === undefined && (await budget.isClosed());
            if (!isStale) return;
            waitedMs += entry.waitMs;
            continue;
          }
          if (entry.waitMs > mayWaitMs) throw notGrantedError(entry, host, clock.now());
          await sleep(entry.waitMs, signal);
          waitedMs += entry.waitMs;
        }
      };

      const tryOnce = async (attempt: number): Promise<UpstreamResponse> => {
        taken = null;
        if (signal.aborted) throw abortError(signal);
        await enter();
        options.onRequest?.();
        const response = await client.send({ ...request, signal });
        const { status, durationMs } = response;
        logger.debug({ ...facts, status, attempt, durationMs: Math.round(durationMs) }, 'upstream answered');
        const usedUpForMs = isCounted ? await applyLimits(budget, response, clock.now()) : null;
        const answer = interpret(response, request, { ...options, nowMs: clock.now(), usedUpForMs });
        await circuit.answered();
        if (isCounted && isSuccess(status)) await budget.recover();
        return answer;
      };

      const waitOrGiveUp = async (error: Error, attempt: number): Promise<void> => {
        const tried = taken;
        if (tried !== null) await circuit.ended(error, tried);
        if (!(error instanceof TransientError)) throw error;
        if (isCounted && tried !== null) await reportRefusal(budget, error, tried);
        const limits = { attempt, attempts, elapsedMs: elapsedMs(), maxTotalMs, maxWaitMs, random };
        const plan = planRetry(error, limits);
        const { status, code } = error;
        const next = { waitMs: plan.waitMs, next: plan.kind };
        logger.debug({ ...facts, status, code, attempt, ...next }, 'upstream request failed');
        if (circuit.open !== null) {
          // A probe is sent once. Others with attempts left wait for the next one, or fail with its time.
          if (tried?.probe !== undefined || attempt >= attempts)
            throw circuitOpenError(host, circuit.open, clock.now(), error);
          return;
        }
        if (plan.kind === 'give_up') throw givenUpError(error, plan, attempt);
        await sleep(plan.waitMs, signal);
      };

      return pRetry(tryOnce, {
        retries: attempts - 1,
        minTimeout: 0,
        factor: 1,
        onFailedAttempt: ({ error, attemptNumber }) => waitOrGiveUp(error, attemptNumber),
      });
    },
  };
}

const MINUTE_MS = 60_000;

function notGrantedError({ open, day, waitMs }: Taken, host: string, nowMs: number): RateLimitedError {
  if (open !== undefined) return circuitOpenError(host, open, nowMs);
  if (day !== undefined) {
    // The day ends at a whole minute; the wait was counted some milliseconds before.
    const endsAt = Math.round((nowMs + waitMs) / MINUTE_MS) * MINUTE_MS;
    const until = formatTime(new Date(endsAt), new Date(nowMs));
    return new RateLimitedError(
      `the requests of this day are used up (${day.used} of ${day.limit} sent; full syncs stop at four fifths); the next are sent at ${until}, or as soon as requestsPerDay is raised`,
      { code: 'day_limit', waitMs },
    );
  }
  const seconds = Math.ceil(waitMs / 1000);
  return new RateLimitedError(`the request budget is used up; the next free slot is in ${seconds} s`, { waitMs });
}

/** Postpones the work: since when the upstream does not answer, why, and when it is asked again. */
function circuitOpenError(host: string, open: OpenCircuit, nowMs: number, cause?: unknown): RateLimitedError {
  const now = new Date(nowMs);
  const next =
    open.nextTryAt > now ? `the next try is due at ${formatTime(open.nextTryAt, now)}` : 'it is being tried now';
  return new RateLimitedError(`${host} does not answer (${formatOutage(open, now)}); ${next}`, {
    code: 'circuit_open',
    waitMs: open.waitMs,
    cause,
  });
}

/** Tells the circuit how each attempt went; opening and closing it are one line in the log each. */
function createCircuitReporter(parts: UpstreamOptions & { readonly host: string }) {
  const { budget, logger, host, credential, clock } = parts;
  let open: OpenCircuit | null = null;

  async function answered(): Promise<void> {
    open = null;
    const closed = await budget.circuit.answered();
    if (closed === null) return;
    const { reason, outageMs } = closed;
    logger.info(
      { event: 'circuit_closed', credential, host, reason, outageMs },
      `${host} answers again after ${Math.round(outageMs / 1000)} s; everything goes on`,
    );
  }

  async function failed(reason: string, probe: number | undefined): Promise<void> {
    const reported = await budget.circuit.failed(reason, probe);
    open = reported.open;
    if (!reported.opened || open === null) return;
    const { failures, failingSince, nextTryAt } = open;
    const now = new Date(clock.now());
    logger.warn(
      { event: 'circuit_open', credential, host, reason, failures, failingSince, nextTryAt },
      `${host} does not answer (${formatOutage(open, now)}, ${counted(failures, 'failure')} in a row); no request is sent before ${formatTime(nextTryAt, now)}`,
    );
  }

  return {
    get open(): OpenCircuit | null {
      return open;
    },
    answered,
    async ended(error: Error, { probe }: Taken): Promise<void> {
      const reason = error instanceof TransientError ? failureReason(error) : null;
      if (reason !== null) return failed(reason, probe);
      open = null;
      // A refusal, a limit, an answer that is too large or unreadable: the server lives.
      if (isAnswer(error)) return answered();
      // Stopped, or never sent: nothing is known. A probe that cannot be released now expires by itself.
      if (probe !== undefined) await budget.circuit.release(probe).catch(() => {});
    },
  };
}

const ANSWERS: ReadonlySet<string> = new Set(['redirect_refused', 'response_too_large']);

function isAnswer(error: Error): boolean {
  return error instanceof TransientError || (error instanceof LeadmirrorError && ANSWERS.has(error.code));
}

/** Applies the limits of the headers: a lower one is learnt; with nothing left, requests wait. Returns how long. */
async function applyLimits(budget: RequestBudget, response: HttpResponse, nowMs: number): Promise<number | null> {
  const news = parseRateLimit(response.headers, nowMs, response.serverTime);
  if (news === null) return null;
  if (news.limit !== null) await budget.learn(news.limit);
  // On a refusal that brings its own time, that time counts.
  const hasRetryAfter = isPushback(response.status) && response.headers['retry-after'] !== undefined;
  if (news.usedUpForMs !== null && !hasRetryAfter)
    await budget.block(news.usedUpForMs, 'nothing left (RateLimit-Remaining 0)');
  return news.usedUpForMs;
}

/** Stores what all processes with this credential have to know about a refusal. */
async function reportRefusal(
  budget: RequestBudget,
  { status, retryAfterMs }: TransientError,
  taken: Taken,
): Promise<void> {
  if (!isPushback(status)) return;
  if (retryAfterMs !== null) return budget.block(retryAfterMs, `Retry-After on ${status}`);
  if (status === 429) await budget.slowDown(taken);
}
