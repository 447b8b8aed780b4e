-- The reason of a state, and of an alert, is also a stable word: programs look at that instead of the text.
CREATE OR REPLACE VIEW "sync"."status" AS
SELECT
  f.connection_id,
  f.stream,
  v.state,
  v.reason,
  v.since,
  f.running_pass,
  f.last_success_at,
  f.as_of,
  extract(epoch FROM now() - f.as_of)::bigint AS lag_seconds,
  f.watermark,
  f.backfill_completed_at,
  f.open_quarantine,
  f.notice,
  f.proof_at,
  f.proof_rows,
  f.proof_share,
  f.proof_differences,
  v.reason_code,
  coalesce(f.proven_from > f.proof_at, false) AS proof_settled
FROM (
-- What the last telling run of any of its streams learnt about an account holds for all of them.
SELECT r.*,
  first_value(r.verdicts[1]) OVER (PARTITION BY r.connection_id ORDER BY (r.verdicts[1]).ended_at DESC NULLS LAST) AS account_verdict
FROM (
  SELECT
    s.connection_id,
    s.stream,
    s.paused_at,
    s.resync_asked_at,
    s.created_at,
    s.fresh_within_seconds,
    s.notice,
    i.watermark,
    i.started_at AS incremental_started_at,
    i.completed_at AS incremental_completed_at,
    b.completed_at AS backfill_completed_at,
    -- Between two slices; when nobody goes on for an hour, it is no longer under way.
    b.yielded_run_id = b.run_id AND b.updated_at > now() - interval '1 hour' AS has_backfill_yielded,
    r.completed_at AS reconcile_completed_at,
    -- Of a walk under way it says nothing yet.
    CASE WHEN r.cursor IS NULL THEN r.newest_change END AS newest_change,
    greatest(i.completed_at, b.completed_at, r.completed_at) AS last_success_at,
    -- A full walk proves the state at its beginning, an incremental one at its end. One that has not ended complete proves nothing.
    CASE WHEN b.completed_at IS NOT NULL
      THEN greatest(i.completed_at, w.proven_from)
    END AS as_of,
    w.proven_from,
    CASE
      WHEN b.lease_until > clock_timestamp() THEN 'backfill'
      WHEN r.lease_until > clock_timestamp() THEN 'reconcile'
      WHEN i.lease_until > clock_timestamp() THEN 'incremental'
      WHEN c.lease_until > clock_timestamp() THEN 'verify'
    END AS running_pass,
    l.outcome AS last_outcome,
    l.error_code AS last_error_code,
    l.error_message AS last_error_message,
    l.ended_at AS last_ended_at,
    -- The last run of each pass that tells something, newest first: neither cancelled nor postponed, and not ended by weather.
    (SELECT array_agg(t.run ORDER BY (t.run).ended_at DESC)
      FROM (VALUES ('incremental'), ('backfill'), ('reconcile')) AS p(pass)
      CROSS JOIN LATERAL (
        SELECT u AS run
        FROM "sync"."runs" u
        WHERE u.connection_id = s.connection_id AND u.stream = s.stream AND u.pass = p.pass AND u.ended_at IS NOT NULL
          AND (u.outcome IN ('succeeded', 'partial') OR u.outcome = 'failed' AND coalesce(u.error_code, '') NOT IN
            ('network', 'timeout', 'upstream_unavailable', 'upstream_garbled', 'database_unavailable'))
        ORDER BY u.id DESC LIMIT 1
      ) t) AS verdicts,
    q.open_quarantine,
    q.quarantined_at,
    d.proved_at AS proof_at,
    d.upstream_rows AS proof_rows,
    CASE WHEN d.upstream_rows = 0 THEN 1 ELSE d.compared_rows::float8 / d.upstream_rows END AS proof_share,
    d.missing + d.stale + d.extra + d.different - d.repaired AS proof_differences,
    o.failing_since AS unanswered_since,
    CASE o.failure_reason WHEN 'network' THEN 'no connection' WHEN 'timeout' THEN 'no answer in time' ELSE o.failure_reason END
      || ' since ' || to_char(o.failing_since AT TIME ZONE 'UTC',
        CASE WHEN (o.failing_since AT TIME ZONE 'UTC')::date = (now() AT TIME ZONE 'UTC')::date THEN 'HH24:MI' ELSE 'YYYY-MM-DD HH24:MI' END)
      || ' UTC' AS unanswered_why,
    CASE WHEN o.wake_at > clock_timestamp() THEN 'next try ' || to_char(o.wake_at AT TIME ZONE 'UTC', 'HH24:MI') || ' UTC'
      WHEN o.probe_until > clock_timestamp() THEN 'it is being tried now' ELSE 'the next try is due' END AS unanswered_next,
    p.blocked_until AS paused_until,
    coalesce(p.blocked_reason, 'it asked to wait') AS pause_reason
  FROM "sync"."streams" s
  LEFT JOIN "sync"."checkpoints" b ON b.connection_id = s.connection_id AND b.stream = s.stream AND b.pass = 'backfill'
  LEFT JOIN "sync"."checkpoints" i ON i.connection_id = s.connection_id AND i.stream = s.stream AND i.pass = 'incremental'
  LEFT JOIN "sync"."checkpoints" r ON r.connection_id = s.connection_id AND r.stream = s.stream AND r.pass = 'reconcile'
  LEFT JOIN "sync"."checkpoints" c ON c.connection_id = s.connection_id AND c.stream = s.stream AND c.pass = 'verify'
  -- An open circuit, as long as somebody looks after it: when nobody runs, nobody tries.
  LEFT JOIN "sync"."budgets" o ON o.credential = s.credential AND o.opened_at IS NOT NULL AND o.failing_since IS NOT NULL
    AND greatest(o.wake_at, o.probe_until) > now() - interval '15 minutes'
  -- A wait that the server asked for. A short one is nobody's business.
  LEFT JOIN "sync"."budgets" p ON p.credential = s.credential AND p.blocked_until > now() + interval '1 minute'
  LEFT JOIN "sync"."proofs" d ON d.connection_id = s.connection_id AND d.stream = s.stream
  CROSS JOIN LATERAL (
    SELECT greatest(
      CASE WHEN b.completed_at >= b.started_at THEN b.started_at END,
      CASE WHEN r.completed_at >= r.started_at THEN r.started_at END
    ) AS proven_from
  ) w
  CROSS JOIN LATERAL (
    SELECT count(*) AS open_quarantine, min(k.first_seen_at) AS quarantined_at
    FROM "sync"."quarantine" k
    WHERE k.connection_id = s.connection_id AND k.stream = s.stream AND k.resolved_at IS NULL
  ) q
  LEFT JOIN LATERAL (
    SELECT x.outcome, x.error_code, x.error_message, x.ended_at
    FROM (VALUES ('incremental'), ('backfill'), ('reconcile')) AS p(pass)
    CROSS JOIN LATERAL (
      SELECT u.outcome, u.error_code, u.error_message, u.ended_at
      FROM "sync"."runs" u
      WHERE u.connection_id = s.connection_id AND u.stream = s.stream AND u.pass = p.pass
        AND u.ended_at IS NOT NULL AND u.outcome <> 'cancelled'
      ORDER BY u.id DESC LIMIT 1
    ) x
    ORDER BY x.ended_at DESC LIMIT 1
  ) l ON true
  WHERE s.enabled
) r
) f
CROSS JOIN LATERAL (
  SELECT * FROM (
    SELECT 1 AS rank, 'paused' AS state, 'paused' AS reason_code, 'paused by a person' AS reason, f.paused_at AS since
      WHERE f.paused_at IS NOT NULL
    UNION ALL
    -- What a pass met holds until a later run of the same pass ends complete. A problem of a full read is settled by a complete reconcile too, and
    -- so is a list that was suddenly empty; credentials are proven by any complete pass. Records set aside are counted below, while they are.
    SELECT CASE u.outcome WHEN 'failed' THEN 2 ELSE 8 END,
      CASE u.outcome WHEN 'failed' THEN 'blocked' ELSE 'partial' END,
      coalesce(u.error_code, 'incomplete'),
      coalesce(u.error_message, u.error_code, 'the last ' || u.pass || ' pass could not be completed'),
      (SELECT min(y.ended_at) FROM "sync"."runs" y
        WHERE y.connection_id = u.connection_id AND y.stream = u.stream AND y.pass = u.pass
          AND y.outcome = u.outcome AND y.error_code IS NOT DISTINCT FROM u.error_code
          AND y.id > coalesce((SELECT g.id FROM "sync"."runs" g
            WHERE g.connection_id = u.connection_id AND g.stream = u.stream AND g.pass = u.pass AND g.ended_at IS NOT NULL
              AND (g.outcome = 'succeeded' OR g.outcome = 'partial' AND g.error_code = 'quarantined')
            ORDER BY g.id DESC LIMIT 1), 0))
      FROM unnest(f.verdicts) u
      WHERE (u.outcome = 'failed' OR u.outcome = 'partial' AND u.error_code IS DISTINCT FROM 'quarantined')
        AND NOT coalesce(CASE
          WHEN u.error_code LIKE 'auth%' OR u.error_code IN ('project_not_found', 'wrong_base_url') THEN f.last_success_at > u.ended_at
          WHEN u.pass = 'backfill' OR u.error_code = 'suddenly_empty' THEN f.reconcile_completed_at > u.ended_at
        END, false)
    UNION ALL
    SELECT 3, 'blocked', (f.account_verdict).error_code, coalesce((f.account_verdict).error_message, (f.account_verdict).error_code), (f.account_verdict).ended_at
      WHERE (f.account_verdict).outcome = 'failed'
        AND ((f.account_verdict).error_code LIKE 'auth%' OR (f.account_verdict).error_code IN ('project_not_found', 'wrong_base_url'))
    UNION ALL
    -- Nothing can come in; it goes on by itself.
    SELECT 4, 'blocked', 'circuit_open', 'the upstream does not answer (' || f.unanswered_why || '); ' || f.unanswered_next, f.unanswered_since
      WHERE f.unanswered_since IS NOT NULL
    UNION ALL
    SELECT 4, 'blocked', 'rate_limited', 'the upstream asks to wait (' || f.pause_reason || '); next try ' || to_char(f.paused_until AT TIME ZONE 'UTC', 'HH24:MI')
        || ' UTC, or at once after: leadmirror resume ' || f.stream || ' --connection ' || f.connection_id, coalesce(f.last_ended_at, f.created_at)
      WHERE f.paused_until IS NOT NULL
    UNION ALL
    -- A resync withdraws what was proven: whoever asks for one doubts the rows.
    SELECT 5, 'syncing', 'backfill_running', CASE WHEN f.resync_asked_at IS NULL THEN 'the first full read is under way'
        ELSE 'a full re-read (resync), asked for by a person, is under way' END, coalesce(f.resync_asked_at, f.created_at)
      WHERE f.backfill_completed_at IS NULL AND (f.running_pass = 'backfill' OR f.has_backfill_yielded)
    UNION ALL
    SELECT 6, 'never', 'no_run', 'no run yet', f.created_at
      WHERE f.backfill_completed_at IS NULL AND f.last_outcome IS NULL AND NOT EXISTS (SELECT FROM "sync"."runs" y
        WHERE y.connection_id = f.connection_id AND y.stream = f.stream AND y.pass = 'backfill')
    UNION ALL
    SELECT 7, 'partial', coalesce(f.last_error_code, 'backfill_unfinished'), CASE WHEN f.resync_asked_at IS NULL THEN 'the first full read' ELSE 'a full re-read (resync), asked for by a person,' END
        || ' is not finished' || coalesce(': ' || f.last_error_message, ''), coalesce(f.resync_asked_at, f.last_ended_at, f.created_at)
      WHERE f.backfill_completed_at IS NULL
    UNION ALL
    SELECT 9, 'partial', 'verify_differences', CASE f.proof_differences WHEN 1 THEN '1 row differs' ELSE f.proof_differences || ' rows differ' END
        || ' from the upstream, as the last verify found', f.proof_at
      WHERE f.proof_differences > 0 AND NOT coalesce(f.proven_from > f.proof_at, false)
    UNION ALL
    -- A row that is new to a full walk is newer than the watermark, unless it is read in a way that has a notice. The next incremental pass meets it
    -- and moves the watermark; one that ends complete and does not was not shown what changed.
    SELECT 10, 'partial', 'watermark_behind', 'the last full walk found ' || CASE u.created WHEN 1 THEN '1 new row' ELSE u.created || ' new rows' END
        || ', and the watermark has not moved since: incremental passes may not be shown what changes', u.ended_at
      FROM unnest(f.verdicts) u
      WHERE u.pass = 'reconcile' AND u.created > 0 AND f.notice IS NULL
        AND f.incremental_started_at > u.ended_at AND f.incremental_completed_at >= f.incremental_started_at
        AND f.watermark <> '{}' AND f.watermark = (SELECT m.watermark FROM "sync"."runs" m
          WHERE m.connection_id = u.connection_id AND m.stream = u.stream AND m.pass = 'incremental'
            AND m.started_at < u.started_at AND m.ended_at IS NOT NULL AND m.watermark IS NOT NULL
          ORDER BY m.id DESC LIMIT 1)
    UNION ALL
    -- Rows that are not new tell it by their dates: a full walk met a change that is newer than all that incremental passes were shown since.
    SELECT 10, 'partial', 'watermark_behind', 'the last full walk met changes as late as ' || to_char(f.newest_change AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        || ' UTC, and the watermark has not come so far since: incremental passes may not be shown what changes', f.reconcile_completed_at
      WHERE f.notice IS NULL AND f.incremental_started_at > f.reconcile_completed_at
        AND f.incremental_completed_at >= f.incremental_started_at
        AND f.newest_change > (SELECT max(w.value::timestamptz) FROM jsonb_each_text(f.watermark) w)
    UNION ALL
    SELECT 11, 'partial', 'open_quarantine',
      CASE f.open_quarantine WHEN 1 THEN '1 record is' ELSE f.open_quarantine || ' records are' END || ' in quarantine', f.quarantined_at
      WHERE f.open_quarantine > 0
    UNION ALL
    SELECT 12, 'stale', CASE f.fresh_within_seconds WHEN 0 THEN 'not_scheduled' ELSE coalesce(f.last_error_code, 'overdue') END,
      CASE f.fresh_within_seconds WHEN 0 THEN 'not scheduled: read by hand only'
        ELSE coalesce('no complete pass in time: ' || f.last_error_message, 'no complete pass in time') END, f.as_of
      WHERE f.as_of IS NULL OR f.as_of < now() - make_interval(secs => f.fresh_within_seconds)
    UNION ALL
    -- Incremental passes go on meanwhile, but what they cannot see (deletions, for one) is as old as the last full walk.
    SELECT 13, 'stale', coalesce(x.error_code, 'reconcile_failing'), 'full walks have failed for more than a day: ' || coalesce(x.error_message, x.error_code, 'no reason is known'), x.ended_at
      FROM (SELECT y.error_message, y.error_code, y.ended_at FROM "sync"."runs" y
        WHERE y.connection_id = f.connection_id AND y.stream = f.stream AND y.pass = 'reconcile' AND y.outcome = 'failed'
          AND y.ended_at > greatest(f.reconcile_completed_at, f.backfill_completed_at)
        ORDER BY y.id LIMIT 1) x
      WHERE x.ended_at < now() - interval '1 day'
    UNION ALL
    SELECT 14, 'fresh', 'complete', 'complete as of the last pass', f.as_of
  ) candidates
  ORDER BY rank, since DESC LIMIT 1
) v;

COMMENT ON COLUMN "sync"."status"."reason_code" IS 'The reason as a stable word: the error code of the run that it comes from, or paused, circuit_open, rate_limited, backfill_running, backfill_unfinished, no_run, incomplete, verify_differences, watermark_behind, open_quarantine, not_scheduled, overdue, reconcile_failing, complete';
COMMENT ON COLUMN "sync"."status"."proof_settled" IS 'A full walk that began after the last verify ended complete, and read again whatever differed';

ALTER TABLE "sync"."alerts" ADD COLUMN "reason_code" TEXT NOT NULL DEFAULT '';

COMMENT ON COLUMN "sync"."alerts"."reason_code" IS 'The reason as a stable word; alerts of one kind with the same word are told as one';
