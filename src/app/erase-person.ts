import type { App } from '../app.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { listStreams } from '../store/engine/streams.ts';
import { refreshReporting } from '../store/reports/refresh.ts';
import type { Stream } from '../stream.ts';
import type { ErasureParts } from '../sync/privacy/record-erasure.ts';

/** Every stream of every account that was ever configured, as far as this configuration knows its table. */
export async function erasureTargets(
  app: Pick<App, 'connections' | 'database'>,
): Promise<{ readonly connectionId: string; readonly stream: Stream }[]> {
  const known = new Map<string, Stream>();
  for (const { id, streams } of app.connections) {
    for (const stream of streams) known.set(stream.name, stream).set(`${id} ${stream.name}`, stream);
  }
  return (await listStreams(app.database.prisma, 'all')).flatMap(({ connectionId, stream: name }) => {
    // Each account may have its own policy; of one that is no longer configured only the table is known.
    const stream = known.get(`${connectionId} ${name}`) ?? known.get(name);
    return stream === undefined ? [] : [{ connectionId, stream }];
  });
}

/** @throws ConfigError with what an erasure needs and is not set */
export async function erasureParts(
  app: App,
  { signal, journal = app.config.privacyJournal }: { readonly signal: AbortSignal; readonly journal?: string | null },
): Promise<ErasureParts> {
  const { secretKey } = app.config;
  const problems: ConfigProblem[] = [];
  if (secretKey === null) problems.push({ variable: 'LEADMIRROR_SECRET_KEY', message: NO_KEY });
  if (journal === null) problems.push({ variable: 'PRIVACY_JOURNAL', message: NO_JOURNAL });
  if (secretKey === null || journal === null) throw new ConfigError(problems);
  const { clock, logger } = app;
  const refresh = async ({ isFull }: { readonly isFull: boolean }) => {
    const outcome = await refreshReporting(app.database, { signal, isFull });
    signal.throwIfAborted();
    return outcome !== 'busy';
  };
  const targets = await erasureTargets(app);
  return { prisma: app.database.prisma, clock, logger, signal, targets, secretKey, journal, refresh };
}

const NO_KEY =
  'is not set; what keeps an erased person from coming back is encrypted with it. Make one with: openssl rand -hex 32';
const NO_JOURNAL =
  'is not set; it names the file in which erasures are noted, outside of LEADMIRROR_HOME and of the backups of the database, for all processes';
