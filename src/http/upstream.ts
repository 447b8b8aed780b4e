import pRetry from 'p-retry';
import type { Clock } from '../clock.ts';
import { RateLimitedError, TransientError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { abortError } from './abort.ts';
import type { RequestBudget } from './budget.ts';
import type { HttpClient, HttpRequest, HttpResponse } from './client.ts';
import { givenUpError, isPushback, isTransientStatus, planRetry } from './retry.ts';
import { parseRetryAfter } from './retry-after.ts';
import { hostAndPort, redactedPath } from './secure-url.ts';

/**
 * The one place that waits: for a slot in the budget, for what the server asked, for a backoff. Around each attempt:
 *
 *   budget.take -> wait -> client.send -> an answer for the caller, or an error -> tell the budget -> wait or give up
 *
 * Callers interpret refusals (4xx) themselves; what passes by itself is retried here and nowhere above.
 */

export interface UpstreamOptions {
  readonly client: Pick<HttpClient, 'send'>;
  readonly budget: RequestBudget;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often one request is sent at most; default 6. */
  readonly attempts?: number;
  /** Waiting and requests of one call together. No attempt *starts* later than this; one under way has its own limit. */
  readonly maxTotalMs: number;
  readonly random?: () => number;
}

export type UpstreamRequest = Omit<HttpRequest, 'signal'>;

export interface RequestOptions {
  readonly signal: AbortSignal;
  /** The longest single wait in place; beyond it the call ends with RateLimitedError (or TransientError) instead. */
  readonly maxWaitMs: number;
  /** Instead of the upstream's own. */
  readonly attempts?: number;
  /** False: outside the budget, neither asked nor told. For a sign-in that the limit does not count. Default true. */
  readonly budget?: boolean;
  /** False: a 2xx body is taken as text, whatever it is. Default true. */
  readonly expectJson?: boolean;
  /** Called once for every request that goes out. */
  readonly onRequest?: () => void;
}

export interface UpstreamResponse extends HttpResponse {
  /** The parsed JSON; where that was not asked for, or a refusal is not JSON, the text; null for an answer without a body (204). */
  readonly body: unknown;
}

export interface Upstream {
  /**
   * Sends a request, again where that helps, and returns the first answer that is final: 2xx, or a refusal (3xx, 4xx) for the
   * caller to interpret.
   *
   * @throws RateLimitedError, TransientError, UpstreamContractError (`not_json`), ResponseTooLargeError, UpstreamRefusedError
   * (`redirect_refused`), ConfigError, or an AbortError when the signal fired.
   */
  request(request: UpstreamRequest, options: RequestOptions): Promise<UpstreamResponse>;
}

export const DEFAULT_ATTEMPTS = 6;

export function createUpstream(parts: UpstreamOptions): Upstream {
  const { client, clock, logger, maxTotalMs, random = Math.random } = parts;

  async function sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortError(signal);
    if (ms <= 0) return;
    try {
      await clock.sleep(ms, signal);
    } catch (error) {
      throw signal.aborted ? abortError(signal) : error;
    }
  }

  return {
    async request(request, options) {
      const { signal, maxWaitMs } = options;
      const attempts = Math.max(1, options.attempts ?? parts.attempts ?? DEFAULT_ATTEMPTS);
      const budget = options.budget === false ? null : parts.budget;
      const startedAt = clock.now();
      const elapsedMs = () => clock.now() - startedAt;
      const facts = { method: request.method, path: redactedPath(request.url) };

      const tryOnce = async (attempt: number): Promise<UpstreamResponse> => {
        if (signal.aborted) throw abortError(signal);
        if (budget !== null) await sleep(await takeSlot(budget, Math.min(maxWaitMs, maxTotalMs - elapsedMs())), signal);
        options.onRequest?.();
        const response = await client.send({ ...request, signal });
        const { status, durationMs } = response;
        logger.debug({ ...facts, status, attempt, durationMs: Math.round(durationMs) }, 'upstream answered');
        const answer = interpret(response, request, { nowMs: clock.now(), expectJson: options.expectJson ?? true });
        if (isSuccess(status)) await budget?.recover();
        return answer;
      };

      const waitOrGiveUp = async (error: Error, attempt: number): Promise<void> => {
        if (!(error instanceof TransientError)) throw error;
        if (budget !== null) await tellBudget(budget, error);
        const limits = { attempt, attempts, elapsedMs: elapsedMs(), maxTotalMs, maxWaitMs, random };
        const plan = planRetry(error, limits);
        const { status, code } = error;
        logger.debug(
          { ...facts, status, code, attempt, waitMs: plan.waitMs, next: plan.kind },
          'upstream request failed',
        );
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

/** Reserves a slot and answers how long to wait for it. */
async function takeSlot(budget: RequestBudget, maxWaitMs: number): Promise<number> {
  const { granted, waitMs } = await budget.take(Math.max(0, maxWaitMs));
  if (granted) return waitMs;
  const seconds = Math.ceil(waitMs / 1000);
  throw new RateLimitedError(`the request budget is used up; the next free slot is in ${seconds} s`, { waitMs });
}

/** What everyone who shares the credential has to know about a refusal. */
async function tellBudget(budget: RequestBudget, { status, retryAfterMs }: TransientError): Promise<void> {
  if (!isPushback(status)) return;
  if (retryAfterMs !== null) return budget.block(retryAfterMs, `Retry-After on ${status}`);
  if (status === 429) await budget.slowDown();
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** @throws TransientError for what may be better next time. */
function interpret(
  response: HttpResponse,
  request: UpstreamRequest,
  { nowMs, expectJson }: { nowMs: number; expectJson: boolean },
): UpstreamResponse {
  const { status, headers, serverTime, text } = response;
  const where = () => `${hostAndPort(new URL(request.url))} answered ${request.method} ${redactedPath(request.url)}`;
  if (isTransientStatus(status)) {
    throw new TransientError('upstream_unavailable', `${where()} with status ${status}`, {
      status,
      retryAfterMs: parseRetryAfter(headers['retry-after'], nowMs, serverTime),
    });
  }
  if (!isSuccess(status)) return { ...response, body: parseJson(text)?.value ?? text };
  if (status === 204) return { ...response, body: null };
  if (!expectJson) return { ...response, body: text };
  const parsed = parseJson(text);
  if (parsed !== null) return { ...response, body: parsed.value };
  throw new TransientError(
    'upstream_garbled',
    `${where()} with status ${status} but without JSON (${text.length} characters); it may be cut off, or a gateway's own page; check the base URL`,
    { status },
  );
}

/** Null when the text is not JSON. The parser's own message is dropped: it quotes the text. */
function parseJson(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}
