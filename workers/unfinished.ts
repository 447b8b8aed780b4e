import type { PrismaClient } from '../src/generated/prisma/client.ts';
import { readProgress } from '../src/store/engine/leases.ts';
import type { StreamKey } from '../src/store/engine/streams.ts';
import type { QueuedPass } from '../src/stream.ts';
import { isActionRequired } from './job-outcome.ts';

/** A full sync that is unfinished by the database, whatever the queue has kept of it. */
export interface UnfinishedPass {
  readonly connection: string;
  readonly stream: string;
  readonly pass: QueuedPass;
  /** Runs in a row that ended badly. */
  readonly failures: number;
  readonly lastCode: string | null;
  /** Null when it never ran. */
  readonly endedAgoMs: number | null;
}

/** First full reads that are not complete and reconciles that stopped half way, unless they are running or paused. */
export async function findUnfinished(prisma: PrismaClient): Promise<UnfinishedPass[]> {
  return prisma.$queryRaw<UnfinishedPass[]>`
    select s.connection_id as connection, s.stream, p.pass, f.failures::int, last.error_code as "lastCode",
      (extract(epoch from now() - last.ended_at) * 1000)::float8 as "endedAgoMs"
    from sync.streams s
    cross join (values ('backfill'), ('reconcile')) as p(pass)
    left join sync.checkpoints c on c.connection_id = s.connection_id and c.stream = s.stream and c.pass = p.pass
    left join sync.checkpoints b on b.connection_id = s.connection_id and b.stream = s.stream and b.pass = 'backfill'
    left join lateral (
      select r.error_code, r.ended_at from sync.runs r
      where r.connection_id = s.connection_id and r.stream = s.stream and r.pass = p.pass and r.ended_at is not null
      order by r.id desc limit 1
    ) last on true
    cross join lateral (
      select count(*) as failures from sync.runs r
      where r.connection_id = s.connection_id and r.stream = s.stream and r.pass = p.pass and r.outcome in ('failed',
        'partial')
        and r.id > coalesce((select max(g.id) from sync.runs g
          where g.connection_id = s.connection_id and g.stream = s.stream and g.pass = p.pass
            and g.outcome not in ('failed', 'partial')), 0)
    ) f
    where s.enabled and s.paused_at is null
      and (c.lease_until is null or c.lease_until < clock_timestamp())
      and case p.pass when 'backfill' then c.completed_at is null
        else c.cursor is not null and b.completed_at is not null end`;
}

const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 15 * 60_000;

/** A walk that keeps failing is tried less and less often, down to four times an hour. */
export function isDue({ failures, lastCode, endedAgoMs }: UnfinishedPass): boolean {
  if (failures === 0 || endedAgoMs === null) return true;
  if (isActionRequired(lastCode ?? '')) return endedAgoMs >= LONGEST_PAUSE_MS;
  return endedAgoMs >= Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, failures - 1));
}

/** What a resumed stream has to do: an unfinished full sync, and behind the first one, what changed meanwhile. */
export async function findDue(prisma: PrismaClient, key: StreamKey): Promise<QueuedPass[]> {
  const unfinished = await findUnfinished(prisma);
  const own = unfinished.filter(({ connection, stream }) => connection === key.connectionId && stream === key.stream);
  const hasWatermark = (await readProgress(prisma, key, 'incremental')).watermark !== null;
  return [...(hasWatermark ? (['incremental'] as const) : []), ...own.map(({ pass }) => pass)];
}
