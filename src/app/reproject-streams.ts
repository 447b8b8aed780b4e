import type { App } from '../app.ts';
import { type ReprojectReport, reproject } from '../sync/reproject.ts';

/** Derives the typed columns of every stream of the app again from `raw`, without a request, as `leadmirror reproject` does: for a column that is new or mapped better. */
export async function reprojectOnce(
  app: App,
  { signal }: { readonly signal: AbortSignal },
): Promise<ReprojectReport[]> {
  const parts = { prisma: app.database.prisma, clock: app.clock, logger: app.logger };
  const reports: ReprojectReport[] = [];
  for (const connection of app.connections) {
    for (const stream of connection.streams) reports.push(await reproject(parts, { connection, stream, signal }));
  }
  return reports;
}
