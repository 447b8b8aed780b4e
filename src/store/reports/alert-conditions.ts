import { Prisma } from '../../generated/prisma/client.ts';
import { blockedDeletionsSql } from '../engine/deletions.ts';

export const ALERT_KINDS = [
  'stale',
  'blocked',
  'deletion_brake',
  'suddenly_empty',
  'circuit_open',
  'quarantine_growing',
  'verify_differences',
] as const;

export type AlertKind = (typeof ALERT_KINDS)[number];

export interface AlertKey {
  readonly connection_id: string;
  /** Empty when it is about the whole account. */
  readonly stream: string;
  readonly kind: AlertKind;
}

export interface AlertCondition extends AlertKey {
  readonly reason: string;
  /** The code of the reason. Conditions with the same one are reported as one. */
  readonly reason_code: string;
  readonly since: Date | null;
}

/** Whether a budget `b` is in use. An unused one keeps its last state, an open circuit for ever. */
const isStreamInUse = Prisma.sql`exists (
  select 1 from sync.streams u where u.credential = b.credential and u.enabled and u.paused_at is null)`;

/**
 * Returns everything that is wrong now. What is paused or no longer configured is not wrong.
 *
 * A quarantine grows while records were quarantined within the last hour; a stream that waits for its first run is stale once it has waited as long as any
 * stream may; one that is read by hand only is never late.
 *
 * An open circuit is one condition of the account and none of its streams: as long as the server does not answer, stale streams stay stale, and no more
 * is added. Only what a person has to settle is `blocked`.
 */
export async function readAlertConditions(db: Prisma.TransactionClient): Promise<AlertCondition[]> {
  return db.$queryRaw<AlertCondition[]>`
    with lines as materialized (
      select v.connection_id, v.stream, v.state, v.reason, v.reason_code, v.since, v.as_of, v.verified_at, v.verification_differences, v.verification_settled, v.open_quarantine,
        s.fresh_within_seconds > 0 as is_scheduled,
        v.lag_seconds > s.fresh_within_seconds as is_late,
        s.created_at < now() - make_interval(secs => s.fresh_within_seconds) as is_old,
        o.credential is not null as is_unanswered
      from sync.status v
      join sync.streams s using (connection_id, stream)
      left join sync.budgets o on o.credential = s.credential and o.opened_at is not null
      where v.state <> 'paused'
    ), blocked as (
      select l.connection_id, l.stream, h.code, h.message, h.since
      from lines l
      cross join lateral (${blockedDeletionsSql}) h
      where l.state in ('partial', 'blocked')
    )
    select connection_id, stream, 'stale' as kind,
      case when state in ('stale', 'never') then reason else 'no complete pass in time' end as reason,
      case when state in ('stale', 'never') then reason_code else 'overdue' end as reason_code,
      case when state in ('stale', 'never') then since else as_of end as since
    from lines l
    where is_scheduled and case when is_unanswered
      then exists (select 1 from sync.alerts a
        where a.connection_id = l.connection_id and a.stream = l.stream and a.kind = 'stale' and a.is_seen and a.opened_at is not null)
      else state = 'stale' or state = 'never' and is_old or is_late and state not in ('blocked', 'syncing') end
    union all
    select l.connection_id, l.stream, 'blocked', l.reason, l.reason_code, l.since
    from lines l
    where l.state = 'blocked' and l.reason_code <> 'circuit_open' and not exists (
      select 1 from blocked h where h.connection_id = l.connection_id and h.stream = l.stream and h.code = 'suddenly_empty')
    union all
    select connection_id, stream, code, message, code, since from blocked
    union all
    select l.connection_id, l.stream, 'quarantine_growing',
      case q.fresh when 1 then '1 record was' else q.fresh || ' records were' end || ' quarantined within an hour, '
        || l.open_quarantine || ' wait in all', 'open_quarantine', q.since
    from lines l
    join (
      select connection_id, stream, count(*) as fresh, min(first_seen_at) as since
      from sync.quarantine
      where resolved_at is null and first_seen_at > now() - interval '1 hour'
      group by 1, 2
    ) q using (connection_id, stream)
    union all
    select v.connection_id, v.stream, 'verify_differences',
      case v.verification_differences when 1 then '1 row differs' else v.verification_differences || ' rows differ' end || ' from the upstream',
      'verify_differences', v.verified_at
    from lines v
    where v.verification_differences > 0 and not v.verification_settled
    union all
    select b.credential, '', 'circuit_open',
      'requests fail again and again' || coalesce(' (' || b.failure_reason || ')', '') || '; they are blocked, and tried one by one',
      coalesce(b.failure_reason, 'network'), coalesce(b.failing_since, b.opened_at)
    from sync.budgets b
    where b.opened_at is not null and ${isStreamInUse}
    order by 3, 1, 2`;
}
