import type { Logger } from '../src/logger.ts';

export interface QueueWatchOptions {
  readonly logger: Logger;
  readonly ping: () => Promise<void>;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 2_000;
const REPEAT_MS = 60_000;

/**
 * Turns the errors of queues, workers and connections into one line when the queue goes away and one when it is back. Each of those objects reports
 * every attempt to reconnect; whether the queue is away is not guessed from an error but asked for.
 */
export class QueueWatch {
  readonly #options: QueueWatchOptions;
  readonly #seen = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #isDown = false;
  #isAsking = false;
  #isClosed = false;

  constructor(options: QueueWatchOptions) {
    this.#options = options;
  }

  /** For every `error` event. */
  readonly report = (error: Error): void => {
    if (this.#isClosed || this.#isDown) return;
    void this.#ask(error);
  };

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** `error`: what made us ask. */
  async #ask(error: Error | null): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const failure = await this.#options.ping().then(
      () => null,
      (cause: unknown) => cause,
    );
    this.#isAsking = false;
    if (this.#isClosed) return;
    if (failure === null) this.#reached(error);
    else this.#failed(failure);
  }

  #failed(failure: unknown): void {
    if (!this.#isDown) this.#options.logger.warn({ reason: describeError(failure) }, 'the queue cannot be reached');
    this.#isDown = true;
    this.#timer = setTimeout(() => void this.#ask(null), this.#options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  #reached(error: Error | null): void {
    if (this.#isDown) this.#options.logger.info('the queue is back');
    this.#isDown = false;
    if (error === null) return;
    const reason = describeError(error);
    const now = performance.now();
    if (now - (this.#seen.get(reason) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
    if (this.#seen.size > 100) this.#seen.clear();
    this.#seen.set(reason, now);
    this.#options.logger.warn({ reason }, 'error in the queue');
  }
}

/** One line, without user and password of a URL. */
export function describeError(error: unknown): string {
  if (!hasMessage(error)) return 'unknown';
  const { code, name } = error;
  const [line = ''] = error.message.split('\n');
  // The library asks for reports of answers that are no Redis at all.
  const text = line
    .replaceAll(/\/\/[^/@\s]*@/g, '//')
    .replace(/\.? Please report this\.?/, '')
    .slice(0, 400);
  return typeof code === 'string' && !text.includes(code) ? `${code} ${text}`.trim() : text || String(name);
}

/** By its shape: an error of Node itself is not an `Error` of ours when we run in a context of our own. */
function hasMessage(error: unknown): error is { message: string; code?: unknown; name?: unknown } {
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string';
}
