import { setTimeout as delay } from 'node:timers/promises';
import type { App } from '../src/app.ts';
import type { Logger } from '../src/logger.ts';
import { type RefreshOutcome, refreshReporting } from '../src/store/reports/refresh.ts';
import { describeError } from './queue-watch.ts';

export interface ReportRefresherOptions {
  readonly database: Pick<App['database'], 'prisma' | 'address'>;
  readonly logger: Logger;
  /** At most one refresh in this time per database, by all processes together; default: a minute. */
  readonly gapMs?: number;
  readonly onRefresh?: (outcome: RefreshOutcome | 'failed') => void;
}

/**
 * Keeps schema `reporting` current, apart from the runs and never holding them up. What a run brought is worked in by a
 * refresh that begins after its end; asked for while one is under way, or too early, it follows later. A failure is
 * logged and tried again.
 */
export class ReportRefresher {
  readonly #options: ReportRefresherOptions;
  readonly #stopping = new AbortController();
  #isAsked = false;
  #work: Promise<void> | null = null;

  constructor(options: ReportRefresherOptions) {
    this.#options = options;
  }

  ask(): void {
    this.#isAsked = true;
    if (this.#stopping.signal.aborted) return;
    this.#work ??= this.#refreshUntilDone().finally(() => {
      this.#work = null;
      // Asked for between the last look and this moment.
      if (this.#isAsked) this.ask();
    });
  }

  /** Begins no more, and ends the one under way: it has changed nothing then, and the next start does it again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#work;
  }

  async #refreshUntilDone(): Promise<void> {
    const { database, logger, gapMs = 60_000, onRefresh } = this.#options;
    const { signal } = this.#stopping;
    while (this.#isAsked && !signal.aborted) {
      this.#isAsked = false;
      const outcome = await refreshReporting(database, { minGapMs: gapMs, signal }).catch((error: unknown) => {
        logger.warn({ reason: describeError(error) }, 'the reporting tables stay as they are; tried again in a minute');
        return 'failed' as const;
      });
      onRefresh?.(outcome);
      if (outcome === 'refreshed' || outcome === 'rebuilt' || outcome === 'stopped') continue;
      this.#isAsked = true;
      await delay(gapMs, undefined, { signal }).catch(() => {});
    }
  }
}
