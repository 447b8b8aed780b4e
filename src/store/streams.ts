import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Capabilities } from '../stream.ts';

export interface StreamKey {
  readonly connectionId: string;
  readonly stream: string;
}

/** Notes which streams are configured now; those no longer configured are kept, disabled, with their rows. */
export async function registerStreams(
  prisma: PrismaClient,
  streams: readonly StreamKey[],
  freshWithinSeconds: number,
): Promise<void> {
  const json = JSON.stringify(streams.map(({ connectionId, stream }) => ({ connection_id: connectionId, stream })));
  // Ordered, so that processes that start at once take the row locks in one order.
  await prisma.$executeRaw`
    insert into sync.streams (connection_id, stream, enabled, fresh_within_seconds)
    select connection_id, stream, true, ${freshWithinSeconds}::int
    from jsonb_to_recordset(${json}::jsonb) as r(connection_id text, stream text) order by 1, 2
    on conflict (connection_id, stream) do update set enabled = true, fresh_within_seconds = excluded.fresh_within_seconds,
      updated_at = now()
    where not sync.streams.enabled or sync.streams.fresh_within_seconds <> excluded.fresh_within_seconds`;
  await prisma.$executeRaw`
    update sync.streams s set enabled = false, updated_at = now()
    where s.enabled and not exists (
      select 1 from jsonb_to_recordset(${json}::jsonb) as r(connection_id text, stream text)
      where r.connection_id = s.connection_id and r.stream = s.stream)`;
}

export async function readCapabilities(prisma: PrismaClient, key: StreamKey): Promise<Capabilities> {
  const row = await prisma.syncStream.findUnique({
    where: { connection_id_stream: { connection_id: key.connectionId, stream: key.stream } },
    select: { capabilities: true },
  });
  return (row?.capabilities ?? {}) as Capabilities;
}

/** Adds facts to those remembered. */
export async function learnCapabilities(prisma: PrismaClient, key: StreamKey, facts: Capabilities): Promise<void> {
  await prisma.$executeRaw`
    insert into sync.streams (connection_id, stream, capabilities)
    values (${key.connectionId}, ${key.stream}, ${JSON.stringify(facts)}::jsonb)
    on conflict (connection_id, stream) do update set capabilities = sync.streams.capabilities || excluded.capabilities,
      updated_at = now()`;
}

/** Forgets what was learnt, after the server proved otherwise. */
export async function forgetCapabilities(prisma: PrismaClient, key: StreamKey): Promise<void> {
  await prisma.$executeRaw`
    update sync.streams set capabilities = '{}', updated_at = now()
    where connection_id = ${key.connectionId} and stream = ${key.stream}`;
}

/** What people should know about how a stream is read; null: nothing out of the ordinary. */
export async function noteOnStream(prisma: PrismaClient, key: StreamKey, notice: string | null): Promise<void> {
  await prisma.$executeRaw`
    insert into sync.streams (connection_id, stream, notice) values (${key.connectionId}, ${key.stream}, ${notice})
    on conflict (connection_id, stream) do update set notice = excluded.notice, updated_at = now()
    where sync.streams.notice is distinct from excluded.notice`;
}
