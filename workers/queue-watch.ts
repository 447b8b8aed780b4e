import { setTimeout as delay } from 'node:timers/promises';
import { LeadmirrorError } from '../src/errors.ts';
import type { Logger } from '../src/logger.ts';
import { describeDatabaseFault, stateOf } from '../src/store/faults.ts';

export interface QueueWatchOptions {
  readonly logger: Logger;
  readonly ping: () => Promise<void>;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 2_000;
const REPEAT_MS = 60_000;

/**
 * Turns the errors of queues, workers and connections into one line when the queue goes away and one when it is back.
 * Each object reports every attempt to reconnect; whether the queue is away is asked for, not guessed from an error.
 */
export class QueueWatch {
  readonly #options: QueueWatchOptions;
  readonly #seen = new Map<string, number>();
  readonly #closing = new AbortController();
  #isAsking = false;

  constructor(options: QueueWatchOptions) {
    this.#options = options;
  }

  readonly report = (error: Error): void => {
    if (!this.#isAsking && !this.#closing.signal.aborted) void this.#ask(error);
  };

  close(): void {
    this.#closing.abort();
  }

  /** Until the queue answers. `error`: what made us ask. */
  async #ask(error: Error): Promise<void> {
    const { logger, ping, intervalMs = INTERVAL_MS } = this.#options;
    const { signal } = this.#closing;
    this.#isAsking = true;
    for (let isDown = false; !signal.aborted; isDown = true) {
      const failure = await ping().then(() => null, describeError);
      if (signal.aborted) return;
      if (failure === null) {
        if (isDown) logger.info('the queue is back');
        else this.#note(describeError(error));
        break;
      }
      if (!isDown) logger.warn({ reason: failure }, 'the queue cannot be reached');
      await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
    }
    this.#isAsking = false;
  }

  /** An error although the queue answers: logged once a minute. */
  #note(reason: string): void {
    const now = performance.now();
    if (now - (this.#seen.get(reason) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
    if (this.#seen.size > 100) this.#seen.clear();
    this.#seen.set(reason, now);
    this.#options.logger.warn({ reason }, 'error in the queue');
  }
}

/**
 * One line, without user and password of a URL, and without the message of a database, which may contain values. By its
 * shape: an error of Node itself is not an `Error` of ours when we run in a context of our own.
 */
export function describeError(error: unknown): string {
  const { message, code, name } = (error ?? {}) as { message?: unknown; code?: unknown; name?: unknown };
  if (typeof message !== 'string') return 'unknown';
  const fault = error instanceof LeadmirrorError || stateOf(error) === null ? null : describeDatabaseFault(error);
  if (fault !== null) return fault.message;
  const [line = ''] = message.split('\n');
  // The library asks for reports of answers that are no Redis at all.
  const text = line
    .replaceAll(/\/\/[^/@\s]*@/g, '//')
    .replace(/\.? Please report this\.?/, '')
    .slice(0, 400);
  return typeof code === 'string' && !text.includes(code) ? `${code} ${text}`.trim() : text || String(name);
}
