import type { RunningPass } from '../store/reports/run-history.ts';

export type RunProgress = ReturnType<typeof progressOf>;

/** A rate from less is a guess. */
const TELLING_MS = 1_000;

/** A full sync reads about as many rows as the mirror has alive; the size of a first read is unknown. */
export function progressOf(
  running: RunningPass,
  known: { readonly aliveRows: number; readonly isFirstRead: boolean; readonly nowMs: number },
) {
  const { aliveRows, isFirstRead, nowMs } = known;
  const { pass, run_id, started_at, pages, requests } = running;
  const read = running.read_before + running.read;
  const isWhole = pass === 'reconcile' || pass === 'verify' || (pass === 'backfill' && !isFirstRead);
  // Pages of a walk overlap, so it reads somewhat more than there is.
  const isNear = aliveRows > 0 && read <= aliveRows * 1.5;
  const expected = isWhole && isNear ? Math.max(aliveRows, read) : null;
  const elapsedMs = nowMs - started_at.getTime();
  const rate = elapsedMs >= TELLING_MS && running.read > 0 ? running.read / (elapsedMs / 1000) : null;
  return {
    pass,
    started_at,
    pages,
    requests,
    /** Records read by this walk, earlier runs of it included. */
    read,
    /** About how many there are; null when unknown. */
    expected,
    run_id: run_id === null ? null : Number(run_id),
    rows_per_second: rate === null ? null : Math.round(rate * 10) / 10,
    eta_seconds: rate === null || expected === null ? null : Math.ceil((expected - read) / rate),
  };
}
