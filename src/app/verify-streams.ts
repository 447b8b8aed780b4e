import type { App } from '../app.ts';
import { DatabaseError, LeaseBusyError, RunCancelledError } from '../errors.ts';
import { isBackfillComplete } from '../store/engine/leases.ts';
import type { VerifyReport } from '../sync/verify.ts';
import { everyStream, LEASE_WAIT_MS, type Selected } from './sync-streams.ts';

export interface VerifyOnceOptions {
  readonly signal: AbortSignal;
  /** Writes what differs, and marks what is gone; default: only reports. */
  readonly repair?: boolean;
  /** Share of the rows to be compared by content, 0 to 1; all unless given. */
  readonly sample?: number;
}

/** What came of comparing one stream. `report` null, with the reason in `error`: nothing could be compared. */
export type Verified = Pick<VerifyReport, 'connection' | 'stream' | 'error'> & { readonly report: VerifyReport | null };

/** Reads every stream of the app whole and compares it with the mirror, row by row, as `leadmirror verify` does. */
export async function verifyOnce(app: App, options: VerifyOnceOptions): Promise<Verified[]> {
  const verified: Verified[] = [];
  for (const selected of everyStream(app)) {
    if (!options.signal.aborted) verified.push(await verifySelected(app, selected, options));
  }
  return verified;
}

export async function verifySelected(
  app: App,
  { connection, stream }: Selected,
  { signal, repair = false, sample = 1 }: VerifyOnceOptions,
): Promise<Verified> {
  const named = { connection: connection.id, stream: stream.name };
  const key = { connectionId: connection.id, stream: stream.name };
  // A stream that is never compared reports that itself.
  if (stream.notCompared === undefined && !(await isBackfillComplete(app.database.prisma, key))) {
    const message = `the first full read is not finished; run: leadmirror sync ${stream.name}`;
    return { ...named, report: null, error: { code: 'backfill_first', message } };
  }
  const waits = { signal, maxWaitMs: app.config.http.retryMaxMs, leaseWaitMs: LEASE_WAIT_MS };
  try {
    const report = await app.verifyStream({
      ...{ connection, stream, sample, repair, ...waits },
      async refresh() {
        await app.runPass({ connection, stream, pass: 'incremental', ...waits });
      },
    });
    return { ...named, report, error: report.error };
  } catch (error) {
    const isExpected =
      error instanceof LeaseBusyError || error instanceof RunCancelledError || error instanceof DatabaseError;
    if (!isExpected) throw error;
    return { ...named, report: null, error: { code: error.code, message: error.message } };
  }
}
