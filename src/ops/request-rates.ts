import type { BudgetStatus } from '../store/reports/budget-status.ts';

/** Two nearer samples are too short for a rate per minute. */
const APART_MS = 10_000;
const MINUTE_MS = 60_000;

interface Sample {
  readonly requests: number;
  readonly atMs: number;
}

/** Requests per minute of each budget, from how far its count of granted requests went on between two looks. */
export class RequestRates {
  #samples: ReadonlyMap<string, readonly Sample[]> = new Map();

  /** Requests of the last minute by credential; scaled where less was seen, left out where less than ten seconds were. */
  note(budgets: readonly Pick<BudgetStatus, 'credential' | 'requests'>[], atMs: number): Map<string, number> {
    const rates = new Map<string, number>();
    const next = new Map<string, readonly Sample[]>();
    for (const { credential, requests } of budgets) {
      const kept = (this.#samples.get(credential) ?? []).filter(
        // One that counted more is of before a restored backup.
        (sample) => atMs - sample.atMs <= MINUTE_MS && sample.requests <= requests,
      );
      const [oldest] = kept;
      const newest = kept.at(-1);
      if (oldest !== undefined && atMs - oldest.atMs >= APART_MS) {
        rates.set(credential, Math.round(((requests - oldest.requests) * MINUTE_MS) / (atMs - oldest.atMs)));
      }
      const isDue = newest === undefined || atMs - newest.atMs >= APART_MS / 2;
      next.set(credential, isDue ? [...kept, { requests, atMs }] : kept);
    }
    this.#samples = next;
    return rates;
  }
}
