import type { Logger } from '../logger.ts';
import { pruneRuns } from '../store/engine/runs.ts';
import { keepFeed } from '../store/mirror/feed.ts';
import { keepHistory } from '../store/mirror/history.ts';
import { pruneQuarantineTexts } from '../store/privacy/prune-quarantine.ts';
import { removeGone } from '../sync/privacy/remove-gone.ts';
import { logRetention, type RetainApp, retain } from './retain.ts';

/** Rows that one round of retention takes; where there are more, it goes on an hour later. */
const RETENTION_LIMIT = 10_000;

/** What is due once a day: what is kept for a time only is removed. True: there is more than one round takes. */
export async function cleanUp(
  app: RetainApp,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<boolean> {
  const { config, connections, database } = app;
  const { prisma } = database;
  const { quarantine, upstreamDeletedDays } = config.retention;
  const removed = await pruneRuns(prisma, config.runRetentionDays);
  if (removed > 0) logger.info({ removed }, 'old runs removed');
  const texts = await pruneQuarantineTexts(prisma, quarantine);
  if (texts > 0) logger.info({ texts }, 'texts removed from quarantine');
  await keepHistory(database, config.history.months);
  await keepFeed(database);
  if (upstreamDeletedDays !== null) {
    const tables = new Map(
      connections.flatMap(({ streams }) => streams.map(({ name, table }) => [name, table] as const)),
    );
    const gone = await removeGone(prisma, [...tables.values()], upstreamDeletedDays);
    if (Object.keys(gone).length > 0) logger.info({ gone }, 'rows that are gone upstream removed');
  }
  if (config.retention.rules.length === 0) return false;
  const report = await retain(app, { logger, signal, limit: RETENTION_LIMIT });
  logRetention(report, logger);
  return report.hasMore;
}
