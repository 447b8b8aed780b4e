import type { App } from '../app.ts';
import type { Logger } from '../logger.ts';
import { pruneRuns } from '../store/engine/runs.ts';
import { keepFeed } from '../store/mirror/feed.ts';
import { keepHistory } from '../store/mirror/history.ts';
import { pruneQuarantineTexts } from '../store/privacy/retention.ts';
import { removeGone } from '../sync/privacy/remove-gone.ts';

/** What is due once a day: what is kept for a time only is removed. */
export async function cleanUp(
  { config, connections, database }: Pick<App, 'config' | 'connections' | 'database'>,
  logger: Logger,
): Promise<void> {
  const { prisma } = database;
  const { quarantine, upstreamDeletedDays } = config.retention;
  const removed = await pruneRuns(prisma, config.runRetentionDays);
  if (removed > 0) logger.info({ removed }, 'old runs removed');
  const texts = await pruneQuarantineTexts(prisma, quarantine);
  if (texts > 0) logger.info({ texts }, 'texts removed from quarantine');
  await keepHistory(database, config.history.months);
  await keepFeed(database);
  if (upstreamDeletedDays === null) return;
  const tables = new Map(
    connections.flatMap(({ streams }) => streams.map(({ name, table }) => [name, table] as const)),
  );
  const gone = await removeGone(prisma, [...tables.values()], upstreamDeletedDays);
  if (Object.keys(gone).length > 0) logger.info({ gone }, 'rows that are gone upstream removed');
}
