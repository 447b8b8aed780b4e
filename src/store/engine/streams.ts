import { hostname } from 'node:os';
import type { PrismaClient, SyncStream } from '../../generated/prisma/client.ts';
import type { Capabilities } from '../../stream.ts';
import { databaseNow } from '../database-time.ts';
import { LOCKS } from '../locks.ts';

export type StreamKey = { readonly connectionId: string; readonly stream: string };

export const columnsOf = ({ connectionId, stream }: StreamKey) => ({ connection_id: connectionId, stream });

export interface ConfiguredStream extends StreamKey {
  /** When it counts as stale; 0: nothing keeps it up to date. */
  readonly freshWithinSeconds: number;
  /** The budget that its requests are paid from. */
  readonly credential?: string;
  readonly schedule?: { readonly isAdaptive?: boolean };
}

/**
 * Notes which streams are configured now. Those that are not are kept, disabled, with their rows.
 *
 * While a configuration is rolled out, processes disagree about it, and one that starts with the old file must not
 * switch off what the new one brought. So one configuration decides: that of the leading scheduler, which repeats this
 * every round (`retires: 'always'`), and whatever another one did is put right by then. All others only switch on what
 * they have, and switch off only while no process leads: a `sync` by hand, or the start of the first.
 */
export async function registerStreams(
  prisma: PrismaClient,
  streams: readonly ConfiguredStream[],
  { retires }: { readonly retires: 'always' | 'unless_led' },
): Promise<void> {
  const json = JSON.stringify(
    streams.map(({ connectionId, stream, freshWithinSeconds, credential, schedule }) => ({
      connection_id: connectionId,
      stream,
      fresh: freshWithinSeconds,
      credential,
      adaptive: schedule?.isAdaptive === true,
    })),
  );
  // Ordered, so that processes that start at once take the row locks in one order.
  await prisma.$executeRaw`
    insert into sync.streams (connection_id, stream, enabled, fresh_within_seconds, credential, next_due_at,
      interval_seconds)
    select r.connection_id, r.stream, true, r.fresh, r.credential, case when r.adaptive then s.next_due_at end,
      case when r.adaptive then s.interval_seconds end
    from jsonb_to_recordset(${json}::jsonb) as r(connection_id text, stream text, fresh int, credential text,
      adaptive boolean)
    left join sync.streams s using (connection_id, stream)
    where s.enabled is not true or s.fresh_within_seconds <> r.fresh or s.credential is distinct from r.credential
      or (s.interval_seconds is not null and not r.adaptive)
    order by 1, 2
    on conflict (connection_id, stream) do update set enabled = true, credential = excluded.credential,
      fresh_within_seconds = excluded.fresh_within_seconds, next_due_at = excluded.next_due_at,
      interval_seconds = excluded.interval_seconds, updated_at = now()
    where not sync.streams.enabled or sync.streams.fresh_within_seconds <> excluded.fresh_within_seconds
      or sync.streams.credential is distinct from excluded.credential
      or (sync.streams.interval_seconds is not null and excluded.interval_seconds is null)`;
  await prisma.$executeRaw`
    with strange as (
      select s.connection_id, s.stream from sync.streams s
      where s.enabled and not exists (
        select 1 from jsonb_to_recordset(${json}::jsonb) as r(connection_id text, stream text)
        where r.connection_id = s.connection_id and r.stream = s.stream)
      -- Another daemon with a configuration of its own works on it.
      and not exists (select from sync.processes p where s.connection_id = any(p.connections)
        and p.beat_at > now() - interval '45 seconds'
        and (p.host <> ${hostname()} or p.pid <> ${process.pid})
        and not exists (select from jsonb_to_recordset(${json}::jsonb) as r(connection_id text)
          where r.connection_id = s.connection_id))
      and (${retires === 'always'}::boolean or not exists (
        select 1 from pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 1
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.classid = ${LOCKS.lead >> 32n}::bigint::oid and l.objid = ${LOCKS.lead & 0xffffffffn}::bigint::oid))
      order by 1, 2 for update
    )
    update sync.streams s set enabled = false, updated_at = now()
    from strange where s.connection_id = strange.connection_id and s.stream = strange.stream`;
}

/** The streams that are configured now, as the process that started last noted them; or all that ever were. */
export async function listStreams(prisma: PrismaClient, which: 'configured' | 'all'): Promise<StreamKey[]> {
  const rows = await prisma.syncStream.findMany({
    where: which === 'all' ? {} : { enabled: true },
    select: { connection_id: true, stream: true },
    orderBy: [{ connection_id: 'asc' }, { stream: 'asc' }],
  });
  return rows.map(({ connection_id, stream }) => ({ connectionId: connection_id, stream }));
}

/** What is noted about a stream; null when it was never configured. */
export const readStream = (db: Pick<PrismaClient, 'syncStream'>, key: StreamKey): Promise<SyncStream | null> =>
  db.syncStream.findUnique({ where: { connection_id_stream: columnsOf(key) } });

export const readCapabilities = async (prisma: PrismaClient, key: StreamKey): Promise<Capabilities> =>
  ((await readStream(prisma, key))?.capabilities ?? {}) as Capabilities;

export async function learnCapabilities(prisma: PrismaClient, key: StreamKey, facts: Capabilities): Promise<void> {
  const where = { connection_id_stream: columnsOf(key) };
  await prisma.$transaction(async (tx) => {
    const updated_at = await databaseNow(tx);
    // Locks the row, so that of two passes that learn at once the second adds to what the first has learnt.
    const { capabilities } = await tx.syncStream.upsert({ where, create: columnsOf(key), update: { updated_at } });
    await tx.syncStream.update({ where, data: { capabilities: { ...(capabilities as Capabilities), ...facts } } });
  });
}

/** Deletes what was learnt about a server that behaves differently now. */
export async function clearCapabilities(prisma: PrismaClient, key: StreamKey): Promise<void> {
  await prisma.syncStream.updateMany({ where: columnsOf(key), data: { capabilities: {} } });
}

/** What people should know about how a stream is read; null: nothing out of the ordinary. */
export async function noteOnStream(prisma: PrismaClient, key: StreamKey, notice: string | null): Promise<void> {
  if ((await readStream(prisma, key))?.notice === notice) return;
  const row = { ...columnsOf(key), notice };
  await prisma.syncStream.upsert({ where: { connection_id_stream: columnsOf(key) }, create: row, update: row });
}
