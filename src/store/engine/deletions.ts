import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { StreamKey } from './streams.ts';

/**
 * A person's word that rows may vanish although the brake holds: given once, for the next full walk, and only while there is something to accept.
 */
export interface HeldDeletions {
  /** `deletion_brake`, or `suddenly_empty`. */
  readonly code: string;
  readonly message: string;
  readonly since: Date;
}

/** Long enough for the nightly walk, short enough that nobody forgets that it was given. */
const VALID_HOURS = 24;

/** What the brake holds back now; null when it does not hold. A later run of the same pass, or a full walk, that ended complete has settled it. */
export async function readHeldDeletions(prisma: PrismaClient, key: StreamKey): Promise<HeldDeletions | null> {
  const [held] = await prisma.$queryRaw<HeldDeletions[]>`
    select r.error_code as code, coalesce(r.error_message, r.error_code) as message, r.ended_at as since
    from sync.runs r
    where r.connection_id = ${key.connectionId} and r.stream = ${key.stream} and r.ended_at is not null
      and r.outcome in ('partial', 'failed') and r.error_code in ('deletion_brake', 'suddenly_empty')
      and not exists (select 1 from sync.runs g
        where g.connection_id = r.connection_id and g.stream = r.stream and g.pass = r.pass and g.id > r.id
          and (g.outcome = 'succeeded' or g.outcome = 'partial' and g.error_code = 'quarantined'))
      and not exists (select 1 from sync.checkpoints c
        where c.connection_id = r.connection_id and c.stream = r.stream and c.pass = 'reconcile' and c.completed_at > r.ended_at)
    order by r.id desc limit 1`;
  return held ?? null;
}

/** Notes that a person accepts what the brake holds. Changes nothing, and answers null, when it does not hold. */
export async function acceptDeletions(
  prisma: PrismaClient,
  key: StreamKey,
): Promise<(HeldDeletions & { readonly validUntil: Date }) | null> {
  const held = await readHeldDeletions(prisma, key);
  if (held === null) return null;
  const [row] = await prisma.$queryRaw<{ valid_until: Date }[]>`
    insert into sync.streams (connection_id, stream, deletions_accepted_at)
    values (${key.connectionId}, ${key.stream}, now())
    on conflict (connection_id, stream) do update set deletions_accepted_at = excluded.deletions_accepted_at,
      updated_at = now()
    returning deletions_accepted_at + make_interval(hours => ${VALID_HOURS}::int) as valid_until`;
  if (row === undefined) throw new Error('an insert that returns nothing');
  return { ...held, validUntil: row.valid_until };
}

/** Whether a person accepted the deletions within the last day. */
export async function isAccepted(prisma: PrismaClient, key: StreamKey): Promise<boolean> {
  return (await readAccepted(prisma, key)) !== null;
}

/**
 * Whether a person accepted within the last day that the list is empty. Who was told of a few rows that vanished has not agreed to lose all of them, when
 * the next answer happens to be an empty one.
 */
export async function isEmptinessAccepted(prisma: PrismaClient, key: StreamKey): Promise<boolean> {
  return (await readAccepted(prisma, key)) === 'suddenly_empty';
}

/** The code of what was held when a person accepted it, as far as its run is still known. */
async function readAccepted(prisma: PrismaClient, { connectionId, stream }: StreamKey): Promise<string | null> {
  const [found] = await prisma.$queryRaw<{ code: string }[]>`
    select coalesce(held.error_code, 'deletion_brake') as code from sync.streams s
    left join lateral (
      select r.error_code from sync.runs r
      where r.connection_id = s.connection_id and r.stream = s.stream and r.ended_at <= s.deletions_accepted_at
        and r.outcome in ('partial', 'failed') and r.error_code in ('deletion_brake', 'suddenly_empty')
      order by r.id desc limit 1
    ) held on true
    where s.connection_id = ${connectionId} and s.stream = ${stream}
      and s.deletions_accepted_at > now() - make_interval(hours => ${VALID_HOURS}::int)`;
  return found?.code ?? null;
}

/** Uses the acceptance up. True for one caller only, and only within a day of its being given. */
export async function takeAcceptance(prisma: PrismaClient, key: StreamKey): Promise<boolean> {
  const [taken] = await prisma.$queryRaw<{ is_valid: boolean }[]>`
    with given as (
      select connection_id, stream, deletions_accepted_at from sync.streams
      where connection_id = ${key.connectionId} and stream = ${key.stream} and deletions_accepted_at is not null
      for update
    )
    update sync.streams s set deletions_accepted_at = null, updated_at = now()
    from given g
    where s.connection_id = g.connection_id and s.stream = g.stream
    returning g.deletions_accepted_at > now() - make_interval(hours => ${VALID_HOURS}::int) as is_valid`;
  return taken?.is_valid ?? false;
}
