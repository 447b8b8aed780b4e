import { createQueues } from '../../workers/queues.ts';
import { type Attempt, checkConnections } from '../app/check-connections.ts';
import { assertKey, type MirrorDatabase, openMirrorDatabase } from '../app/mirror-database.ts';
import { loadWithStored } from '../app/stored-connections.ts';
import { describeConfig, privacyAdvice } from '../config.ts';
import { counted } from '../counted.ts';
import { DatabaseError } from '../errors.ts';
import { connectionsOf, lackOfRoom, leastOf } from '../store/connection-room.ts';
import { createCheckList } from './check-results.ts';
import { type CommandContext, type CommandProcess, runCommand } from './command.ts';

export async function check({ json = false }: { readonly json?: boolean }, proc: CommandProcess): Promise<void> {
  await runCommand({ json, proc }, async (context) => {
    const { attempt, show, end } = createCheckList(context);
    let { config } = context;
    const { notes, openFiles } = config;
    const showSettings = (shown: readonly string[]) => {
      for (const { name, value } of describeConfig(config)) {
        if (!shown.includes(name)) show('        ', `${name}: ${value}`);
      }
    };
    showSettings([]);
    for (const note of openFiles) show('Note    ', note);
    let database: MirrorDatabase | null = null;
    try {
      await attempt('database', async () => {
        database = await openMirrorDatabase(context.config, context);
        return describeDatabase(database);
      });
      if (database !== null) {
        await checkStorage(context, database, attempt);
        const before = describeConfig(config).map(({ name }) => name);
        config = await loadWithStored(context.stored, database, config.secretKey);
        showSettings(before);
      }
      await checkConnections(config, context, database, attempt);
    } finally {
      await (database as MirrorDatabase | null)?.close();
    }
    const privacy = privacyAdvice(config);
    for (const { line, because } of privacy) show('Privacy ', `${line} (by default ${because})`);
    return end({ settings: describeConfig(config), notes: [...notes, ...openFiles], privacy });
  });
}

/** How much room there is stays out where the limits cannot be known. */
function describeDatabase({ address, embedded, connections: { room, wanted, shares } }: MirrorDatabase): string {
  const needs = `a daemon takes up to ${connectionsOf(shares)}, and needs ${connectionsOf(leastOf(wanted))}`;
  return [
    `${address}, migrated`,
    ...(room === null
      ? []
      : [
          `${room.limit - room.used} of ${counted(room.limit, 'connection')} that the ${room.limitOf} allows are free, ${needs}`,
        ]),
    ...(embedded === null ? [] : [`open it with: ${embedded.psql}`]),
  ].join('; ');
}

async function checkStorage(
  { config, logger }: CommandContext,
  database: MirrorDatabase,
  attempt: Attempt,
): Promise<void> {
  const { room, wanted, shares } = database.connections;
  const lack = lackOfRoom(room, wanted);
  if (lack !== null) {
    await attempt('database connections', () => Promise.reject(new DatabaseError('database_refused', lack)));
  }
  if (config.secretKey === null) await assertKey(config, database, logger);
  else {
    await attempt('secret key', async () => {
      await assertKey(config, database, logger);
      return 'it is the one that the stored sign-ins are encrypted with';
    });
  }
  await attempt('queue', async () => {
    const queues = await createQueues({ config, databaseUrl: database.url, logger, maxConnections: shares.queue });
    await queues.ping().finally(() => queues.close());
    return config.redis === null ? 'in Postgres, schema bullmq' : 'in Redis';
  });
}
