-- What is asked of the past is kept as versions of requests come, so that no question reads all of them: each state in which a request was seen, and how
-- many were open from day to day. While history is off, both are empty.
ALTER VIEW IF EXISTS "reporting"."request_states" RENAME TO "former_request_states";

-- Between the end of a state (to_after) and the beginning of the next (to_before) anything can have been: a reopening and a closing between two looks show
-- as another closed_at only.
CREATE TABLE "reporting"."request_states" (
  "seq" bigint NOT NULL,
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "status" integer,
  "status_before" integer,
  "is_open" boolean NOT NULL,
  "was_open" boolean NOT NULL,
  "is_first" boolean NOT NULL,
  "is_other" boolean NOT NULL,
  "is_reassigned" boolean NOT NULL,
  "department_id" text,
  "department_before" text,
  "channel" text,
  "channel_before" text,
  "agent_id" text,
  "closed_at" timestamptz,
  "from_after" timestamptz,
  "from_before" timestamptz NOT NULL,
  "to_after" timestamptz,
  "to_before" timestamptz,
  PRIMARY KEY ("seq", "connection_id", "id")
);
CREATE INDEX "request_states_id_idx" ON "reporting"."request_states" ("connection_id", "id");
COMMENT ON TABLE "reporting"."request_states" IS 'States of requests as the mirror saw them; read by backlog_daily, status_times and sla. Empty while tiledesk.requests has no history';
COMMENT ON COLUMN "reporting"."request_states"."seq" IS 'Of the version with which it began: order of the states of one request';
COMMENT ON COLUMN "reporting"."request_states"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."request_states"."id" IS 'tiledesk.requests.id';
COMMENT ON COLUMN "reporting"."request_states"."status" IS '50 temporary, 100 unassigned, 150 abandoned, 200 assigned, 1000 closed';
COMMENT ON COLUMN "reporting"."request_states"."status_before" IS 'Of the state before';
COMMENT ON COLUMN "reporting"."request_states"."is_open" IS 'Counted, and neither closed nor abandoned';
COMMENT ON COLUMN "reporting"."request_states"."was_open" IS 'So was the state before';
COMMENT ON COLUMN "reporting"."request_states"."is_first" IS 'There is no state before';
COMMENT ON COLUMN "reporting"."request_states"."is_other" IS 'The first one, or it differs from the one before in more than department, channel or agents';
COMMENT ON COLUMN "reporting"."request_states"."is_reassigned" IS 'It has other agents than the one before, and both have some';
COMMENT ON COLUMN "reporting"."request_states"."department_id" IS 'tiledesk.departments.id';
COMMENT ON COLUMN "reporting"."request_states"."department_before" IS 'Of the state before';
COMMENT ON COLUMN "reporting"."request_states"."channel" IS 'Channel name';
COMMENT ON COLUMN "reporting"."request_states"."channel_before" IS 'Of the state before';
COMMENT ON COLUMN "reporting"."request_states"."agent_id" IS 'User id of the first agent; null: none';
COMMENT ON COLUMN "reporting"."request_states"."closed_at" IS 'Last closing (UTC); it stays after a reopening';
COMMENT ON COLUMN "reporting"."request_states"."from_after" IS 'It began after this moment (UTC); null: not known';
COMMENT ON COLUMN "reporting"."request_states"."from_before" IS 'It began at this moment or before it (UTC)';
COMMENT ON COLUMN "reporting"."request_states"."to_after" IS 'It ended after this moment (UTC); null: not known, or not ended';
COMMENT ON COLUMN "reporting"."request_states"."to_before" IS 'It ended at this moment or before it (UTC); null: not ended';

CREATE TABLE "reporting"."backlog_changes" (
  "connection_id" text NOT NULL,
  "day" date NOT NULL,
  "department_id" text NOT NULL,
  "channel" text NOT NULL,
  "open" integer NOT NULL,
  "unassigned" integer NOT NULL,
  "open_least" integer NOT NULL,
  "open_most" integer NOT NULL,
  "closed" integer NOT NULL,
  "reopened" integer NOT NULL,
  PRIMARY KEY ("connection_id", "day", "department_id", "channel")
);
COMMENT ON TABLE "reporting"."backlog_changes" IS 'How many more requests were open at the end of a day than the day before, from request_states; added up by backlog_daily';
COMMENT ON COLUMN "reporting"."backlog_changes"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."backlog_changes"."day" IS 'Day in the time zone of the account';
COMMENT ON COLUMN "reporting"."backlog_changes"."department_id" IS 'tiledesk.departments.id; empty: none';
COMMENT ON COLUMN "reporting"."backlog_changes"."channel" IS 'Channel name; empty: none';
COMMENT ON COLUMN "reporting"."backlog_changes"."open" IS 'So many more were open when the day ended, by the best estimate';
COMMENT ON COLUMN "reporting"."backlog_changes"."unassigned" IS 'The same of those with status 100';
COMMENT ON COLUMN "reporting"."backlog_changes"."open_least" IS 'The same of those that were open for certain';
COMMENT ON COLUMN "reporting"."backlog_changes"."open_most" IS 'The same of those that may have been open';
COMMENT ON COLUMN "reporting"."backlog_changes"."closed" IS 'Closed on that day, as far as seen';
COMMENT ON COLUMN "reporting"."backlog_changes"."reopened" IS 'Reopened on that day, as far as seen';

CREATE TABLE "reporting"."removed_requests" (
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
COMMENT ON TABLE "reporting"."removed_requests" IS 'Requests of which versions were deleted: the next refresh removes their states. Empty behind it';
COMMENT ON COLUMN "reporting"."removed_requests"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."removed_requests"."id" IS 'tiledesk.requests.id';
COMMENT ON COLUMN "reporting"."removed_requests"."row_id" IS 'Primary key without a meaning';

CREATE FUNCTION "reporting"."note_removed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO reporting.removed_requests (connection_id, id) SELECT DISTINCT connection_id, id FROM deleted;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION "reporting"."note_removed"() IS 'Notes of which requests versions were deleted';

COMMENT ON COLUMN "reporting"."touched"."kind" IS 'month, chat, visit, lead, link, external, phone, project, person or request';

-- A state counts on each day at whose end it was so, from one more on the first of them to one less after the last; an event on its day.
CREATE FUNCTION "reporting"."backlog_changes_of"(s "reporting"."request_states", zone text)
RETURNS TABLE (day date, department_id text, channel text, open integer, unassigned integer, open_least integer, open_most integer, closed integer, reopened integer)
LANGUAGE sql STABLE AS $$
  SELECT d.day, i.department_id, i.channel, d.change * i.open, d.change * i.unassigned, d.change * i.least, d.change * i.most, i.closed, i.reopened
  FROM (SELECT s.is_open AND s.was_open AND NOT s.is_other AND s.department_id IS NOT DISTINCT FROM s.department_before
      AND s.channel IS NOT DISTINCT FROM s.channel_before AS is_sure,
    s.is_open OR s.was_open OR s.is_other AS is_possible) p
  CROSS JOIN LATERAL (VALUES
    -- The best estimate: a request that was open when it was first seen was so from its beginning on.
    (CASE WHEN s.is_first AND s.closed_at IS NULL THEN coalesce(s.from_after, s.from_before) ELSE s.from_before END, s.to_before,
      s.department_id, s.channel, s.is_open::int, (s.is_open AND s.status = 100)::int, 0, 0, 0, 0),
    (s.from_before, s.to_after, s.department_id, s.channel, 0, 0, s.is_open::int, s.is_open::int, 0, 0),
    (s.from_after, s.from_before, s.department_id, s.channel, 0, 0, p.is_sure::int, p.is_possible::int, 0, 0),
    -- It may have been where it was before.
    (s.from_after, s.from_before, s.department_before, s.channel_before, 0, 0, 0, (p.is_possible AND NOT s.is_first
      AND (s.department_id, s.channel) IS DISTINCT FROM (s.department_before, s.channel_before))::int, 0, 0),
    (CASE WHEN s.closed_at BETWEEN s.from_after AND s.from_before THEN s.closed_at ELSE s.from_before END, NULL, s.department_id, s.channel, 0, 0, 0, 0,
      (s.status = 1000 AND s.status_before IS DISTINCT FROM 1000)::int, (s.status_before = 1000 AND s.is_open)::int)
  ) i (since, until, department_id, channel, open, unassigned, least, most, closed, reopened)
  CROSS JOIN LATERAL (SELECT (i.since AT TIME ZONE zone)::date AS since, (i.until AT TIME ZONE zone)::date AS until) n
  CROSS JOIN LATERAL (VALUES (n.since, 1), (n.until, -1)) d (day, change)
  WHERE i.open + i.least + i.most + i.closed + i.reopened > 0 AND d.day IS NOT NULL AND (n.since < n.until OR n.until IS NULL)
$$;
COMMENT ON FUNCTION "reporting"."backlog_changes_of"("reporting"."request_states", text) IS 'What one state adds to backlog_changes';

CREATE FUNCTION "reporting"."refresh_backlog"(since timestamptz, only_connection text, is_full boolean, default_zone text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  noted bigint;
  is_kept boolean;
  states CONSTANT text := $sql$
    SELECT s.seq, s.connection_id, s.id, s.status, lag(s.status) OVER w, s.is_open, coalesce(lag(s.is_open) OVER w, false), lag(s.seq) OVER w IS NULL,
      lag(s.seq) OVER w IS NULL OR (lag(s.status) OVER w, lag(s.is_open) OVER w, lag(s.assigned_at) OVER w, lag(s.closed_at) OVER w)
        IS DISTINCT FROM (s.status, s.is_open, s.assigned_at, s.closed_at),
      coalesce(cardinality(s.agents) > 0 AND cardinality(lag(s.agents) OVER w) > 0 AND s.agents <> lag(s.agents) OVER w, false),
      s.department_id, lag(s.department_id) OVER w, s.channel, lag(s.channel) OVER w, s.agents[1], s.closed_at, s.from_after, s.from_before,
      lead(s.from_after) OVER w, lead(s.from_before) OVER w
    FROM (
      SELECT v.connection_id, v.id, v.seq, v.status, v.department_id, left(v.channel, 200) AS channel, v.participants_agents AS agents, v.assigned_at,
        v.closed_at, v.changed_after AS from_after, v.changed_before AS from_before, v.deleted_at IS NULL AND v.draft IS NOT TRUE
          AND v.preflight IS NOT TRUE AND (v.status IN (50, 150, 1000)) IS NOT TRUE AS is_open,
        lag(v.seq) OVER w IS NULL OR (v.status, v.department_id, v.channel, v.participants_agents, v.assigned_at, v.closed_at, v.draft, v.preflight, v.deleted_at)
          IS DISTINCT FROM (lag(v.status) OVER w, lag(v.department_id) OVER w, lag(v.channel) OVER w, lag(v.participants_agents) OVER w,
            lag(v.assigned_at) OVER w, lag(v.closed_at) OVER w, lag(v.draft) OVER w, lag(v.preflight) OVER w, lag(v.deleted_at) OVER w) AS is_change
      FROM %s v
      WINDOW w AS (PARTITION BY v.connection_id, v.id ORDER BY v.seq)
    ) s
    WHERE s.is_change
    WINDOW w AS (PARTITION BY s.connection_id, s.id ORDER BY s.seq) $sql$;
  changes CONSTANT text := $sql$
    INSERT INTO reporting.backlog_changes AS t
    SELECT (q.state).connection_id, d.day, coalesce(d.department_id, ''), coalesce(d.channel, ''), sum(q.sign * d.open), sum(q.sign * d.unassigned),
      sum(q.sign * d.open_least), sum(q.sign * d.open_most), sum(q.sign * d.closed), sum(q.sign * d.reopened)
    FROM (%s) q
    LEFT JOIN reporting.settings z ON z.connection_id = (q.state).connection_id
    CROSS JOIN LATERAL reporting.backlog_changes_of(q.state, coalesce(z.time_zone, $1)) d
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (connection_id, day, department_id, channel) DO UPDATE SET open = t.open + excluded.open, unassigned = t.unassigned + excluded.unassigned,
      open_least = t.open_least + excluded.open_least, open_most = t.open_most + excluded.open_most, closed = t.closed + excluded.closed,
      reopened = t.reopened + excluded.reopened $sql$;
BEGIN
  IF NOT EXISTS (SELECT FROM sync.history WHERE stream = 'tiledesk.requests' AND off_since IS NULL) THEN
    DELETE FROM reporting.removed_requests;
    DELETE FROM reporting.request_states;
    DELETE FROM reporting.backlog_changes;
    RETURN;
  END IF;
  IF only_connection IS NOT NULL THEN
    DELETE FROM reporting.backlog_changes WHERE connection_id = only_connection;
    EXECUTE format(changes, 'SELECT 1 AS sign, s AS state FROM reporting.request_states s WHERE connection_id = $2') USING default_zone, only_connection;
    RETURN;
  END IF;
  -- Old versions are dropped by the month, and states with them.
  EXECUTE $sql$
    SELECT EXISTS (SELECT FROM (SELECT * FROM reporting.request_states ORDER BY seq LIMIT 1) s
      JOIN tiledesk.requests_history h ON h.connection_id = s.connection_id AND h.id = s.id AND h.seq = s.seq) $sql$ INTO is_kept;
  is_full := is_full OR NOT is_kept;
  IF NOT is_full THEN
    EXECUTE $sql$
      WITH removed AS (DELETE FROM reporting.removed_requests RETURNING connection_id, id)
      INSERT INTO reporting.touched SELECT 'request', connection_id, id FROM tiledesk.requests_history WHERE seen_at >= $1
        UNION SELECT 'request', connection_id, id FROM removed $sql$ USING since;
    GET DIAGNOSTICS noted = ROW_COUNT;
    is_full := noted > 1000 + (SELECT greatest(reltuples, 0) / 4 FROM pg_class WHERE oid = 'reporting.request_states'::regclass);
  END IF;
  IF is_full THEN
    DELETE FROM reporting.removed_requests;
    DELETE FROM reporting.request_states;
    DELETE FROM reporting.backlog_changes;
    EXECUTE 'INSERT INTO reporting.request_states ' || format(states, 'tiledesk.requests_versions');
    ANALYZE reporting.request_states;
    EXECUTE format(changes, 'SELECT 1 AS sign, s AS state FROM reporting.request_states s') USING default_zone;
    RETURN;
  END IF;
  EXECUTE format($sql$
    WITH fresh AS MATERIALIZED (
      SELECT ROW(f.*)::reporting.request_states AS state FROM (%s) f
    ), same AS MATERIALIZED (
      SELECT s.seq, s.id FROM fresh f JOIN reporting.request_states s
        ON s.seq = (f.state).seq AND s.connection_id = (f.state).connection_id AND s.id = (f.state).id AND s IS NOT DISTINCT FROM f.state
    ), gone AS (
      DELETE FROM reporting.request_states s USING reporting.touched k
      WHERE k.kind = 'request' AND s.connection_id = k.connection_id AND s.id = k.value AND (s.seq, s.id) NOT IN (SELECT seq, id FROM same)
      RETURNING s AS state
    ), added AS (
      -- What it replaces has to be gone first.
      INSERT INTO reporting.request_states AS s SELECT (f.state).* FROM fresh f
      WHERE (SELECT count(*) FROM gone) >= 0 AND ((f.state).seq, (f.state).id) NOT IN (SELECT seq, id FROM same)
      RETURNING s AS state
    ) %s $sql$,
    -- OFFSET 0: the versions are looked up request by request.
    format(states, $sql$(SELECT v.* FROM reporting.touched k CROSS JOIN LATERAL (
      SELECT * FROM tiledesk.requests_versions o WHERE o.connection_id = k.connection_id AND o.id = k.value OFFSET 0) v WHERE k.kind = 'request')$sql$),
    format(changes, 'SELECT 1 AS sign, state FROM added UNION ALL SELECT -1, state FROM gone')) USING default_zone;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_backlog"(timestamptz, text, boolean, text) IS 'Part of the refresh: request_states and backlog_changes, of the requests that have new versions';

CREATE OR REPLACE FUNCTION "reporting"."refresh"(min_gap_seconds double precision DEFAULT 0, is_full boolean DEFAULT false) RETURNS text LANGUAGE plpgsql
SET work_mem = '64MB' SET maintenance_work_mem = '128MB' SET jit = off AS $$
DECLARE
  last record;
  began timestamptz;
  horizon timestamptz;
  default_zone text;
  account text;
BEGIN
  -- Every statement below needs a snapshot later than the horizon, or rows that were committed in between would be read by no refresh.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'reporting.refresh works in read committed transactions only';
  END IF;
  IF NOT pg_try_advisory_xact_lock(7233071930) THEN RETURN 'busy'; END IF;
  SELECT * INTO STRICT last FROM reporting.refreshes;
  IF last.refreshed_at > clock_timestamp() - min_gap_seconds * interval '1 second' THEN RETURN 'early'; END IF;
  PERFORM pg_stat_clear_snapshot();
  began := clock_timestamp();
  horizon := reporting.write_horizon();
  SELECT coalesce(max(time_zone), 'UTC') INTO default_zone FROM reporting.settings WHERE connection_id = '*';
  is_full := is_full OR last.read_from = '-infinity'
    OR default_zone IS DISTINCT FROM (SELECT time_zone FROM reporting.applied_zones WHERE connection_id = '*')
    OR reporting.is_mostly_new('tiledesk.requests', 'reporting.request_facts', last.refreshed_at)
    OR reporting.is_mostly_new('tiledesk.leads', 'reporting.lead_facts', last.refreshed_at)
    OR reporting.is_mostly_new('tilkee.tokens', 'reporting.link_facts', last.refreshed_at)
    OR reporting.is_mostly_new('tilkee.connexions', 'reporting.visit_facts', last.refreshed_at);
  DELETE FROM reporting.touched;
  -- A first computation makes the keys when the rows are there; every other one needs them before.
  PERFORM reporting.make_indexes(facts) FROM unnest(CASE
    WHEN NOT is_full THEN '{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[]
    WHEN EXISTS (SELECT FROM reporting.visit_facts) OR EXISTS (SELECT FROM reporting.link_facts) THEN '{reporting.visit_facts,reporting.link_facts}'
  END) AS facts;

  -- As sync.status has it; read before the rows, so that it never claims what they do not have.
  INSERT INTO reporting.sources AS t
  SELECT s.connection_id, s.stream, CASE WHEN b.completed_at IS NOT NULL THEN greatest(i.completed_at, CASE WHEN b.completed_at >= b.started_at THEN b.started_at END,
    CASE WHEN r.completed_at >= r.started_at THEN r.started_at END) END, s.enabled
  FROM sync.streams s
  LEFT JOIN sync.checkpoints b ON b.connection_id = s.connection_id AND b.stream = s.stream AND b.pass = 'backfill'
  LEFT JOIN sync.checkpoints i ON i.connection_id = s.connection_id AND i.stream = s.stream AND i.pass = 'incremental'
  LEFT JOIN sync.checkpoints r ON r.connection_id = s.connection_id AND r.stream = s.stream AND r.pass = 'reconcile'
  ON CONFLICT (connection_id, stream) DO UPDATE SET as_of = excluded.as_of, is_enabled = excluded.is_enabled
  WHERE ROW(t.as_of, t.is_enabled) IS DISTINCT FROM ROW(excluded.as_of, excluded.is_enabled);

  -- Accounts that are in another time zone than before are computed anew.
  FOR account IN
    SELECT connection_id FROM reporting.settings s FULL JOIN reporting.applied_zones a USING (connection_id)
    WHERE NOT is_full AND coalesce(s.time_zone, default_zone) IS DISTINCT FROM coalesce(a.time_zone, default_zone)
  LOOP
    PERFORM reporting.refresh_requests(NULL, account, false, default_zone);
    PERFORM reporting.refresh_leads(NULL, account, false, default_zone);
    PERFORM reporting.refresh_links(NULL, account, false, default_zone);
    PERFORM reporting.refresh_backlog(NULL, account, false, default_zone);
  END LOOP;
  DELETE FROM reporting.applied_zones a WHERE NOT EXISTS (SELECT FROM reporting.settings s WHERE s.connection_id = a.connection_id);
  INSERT INTO reporting.applied_zones SELECT connection_id, time_zone FROM reporting.settings WHERE connection_id <> '*'
  UNION ALL SELECT '*', default_zone
  ON CONFLICT (connection_id) DO UPDATE SET time_zone = excluded.time_zone;

  PERFORM reporting.refresh_names(CASE WHEN is_full THEN '-infinity' ELSE last.read_from END);
  PERFORM reporting.refresh_requests(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_leads(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_links(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_backlog(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_people(is_full);
  PERFORM reporting.make_indexes(facts) FROM unnest('{reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[]) AS facts;
  PERFORM reporting.refresh_responses(is_full);

  -- What a full one notes is as large as the mirror: nothing of it is left lying about.
  IF is_full THEN TRUNCATE reporting.touched; ELSE DELETE FROM reporting.touched; END IF;
  UPDATE reporting.refreshes SET read_from = horizon, refreshed_at = began, rebuilt_at = CASE WHEN is_full THEN began ELSE rebuilt_at END,
    took_ms = extract(epoch FROM clock_timestamp() - began) * 1000;
  RETURN CASE WHEN is_full THEN 'rebuilt' ELSE 'refreshed' END;
END
$$;

CREATE OR REPLACE FUNCTION "reporting"."make_history_views"() RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
  IF to_regclass('tiledesk.requests_versions') IS NULL THEN RETURN; END IF;

  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'tiledesk.requests_history'::regclass AND tgname = 'note_removed') THEN
    CREATE TRIGGER note_removed AFTER DELETE ON tiledesk.requests_history REFERENCING OLD TABLE AS deleted
      FOR EACH STATEMENT EXECUTE FUNCTION reporting.note_removed();
  END IF;

  CREATE OR REPLACE VIEW reporting.backlog_daily AS
  SELECT b.connection_id, d.day::date AS day, nullif(b.department_id, '') AS department_id, n.name AS department, nullif(b.channel, '') AS channel,
    i.open, i.unassigned, i.open_least, i.open_most, i.closed, i.reopened, (d.day + interval '1 day') AT TIME ZONE b.zone < h.on_since AS is_estimated,
    p.as_of
  FROM (
    SELECT c.connection_id, c.day, c.department_id, c.channel, c.closed, c.reopened, sum(c.open) OVER w AS open, sum(c.unassigned) OVER w AS unassigned,
      sum(c.open_least) OVER w AS open_least, sum(c.open_most) OVER w AS open_most, lead(c.day) OVER w AS next_day, z.zone,
      (now() AT TIME ZONE z.zone)::date AS today
    FROM reporting.backlog_changes c
    LEFT JOIN reporting.applied_zones own ON own.connection_id = c.connection_id
    LEFT JOIN reporting.applied_zones common ON common.connection_id = '*'
    CROSS JOIN LATERAL (SELECT coalesce(own.time_zone, common.time_zone, 'UTC') AS zone) z
    WINDOW w AS (PARTITION BY c.connection_id, c.department_id, c.channel ORDER BY c.day)
  ) b
  JOIN sync.history h ON h.stream = 'tiledesk.requests' AND h.off_since IS NULL
  CROSS JOIN LATERAL generate_series(b.day::timestamp, (coalesce(b.next_day, greatest(b.day + 1, b.today)) - 1)::timestamp, interval '1 day') d (day)
  -- Of today, and of a day that upstream dates later, only what happened is known.
  CROSS JOIN LATERAL (SELECT d.day < b.today AS has_ended, d.day = b.day AS is_own) t
  CROSS JOIN LATERAL (SELECT CASE WHEN t.has_ended THEN b.open ELSE 0 END AS open, CASE WHEN t.has_ended THEN b.unassigned ELSE 0 END AS unassigned,
    CASE WHEN t.has_ended THEN b.open_least ELSE 0 END AS open_least, CASE WHEN t.has_ended THEN b.open_most ELSE 0 END AS open_most,
    CASE WHEN t.is_own THEN b.closed ELSE 0 END::bigint AS closed, CASE WHEN t.is_own THEN b.reopened ELSE 0 END::bigint AS reopened) i
  LEFT JOIN reporting.sources p ON p.connection_id = b.connection_id AND p.stream = 'tiledesk.requests'
  LEFT JOIN reporting.names n ON n.kind = 'department' AND n.connection_id = b.connection_id AND n.id = b.department_id
  WHERE i.open + i.open_least + i.open_most + i.closed + i.reopened > 0;
  COMMENT ON VIEW reporting.backlog_daily IS 'Requests open at the end of each day, in the time zone of the account (reporting.settings), from their versions. The true number is between open_least and open_most';
  COMMENT ON COLUMN reporting.backlog_daily.connection_id IS 'Configured account';
  COMMENT ON COLUMN reporting.backlog_daily.day IS 'Day in the time zone of the account';
  COMMENT ON COLUMN reporting.backlog_daily.department_id IS 'tiledesk.departments.id';
  COMMENT ON COLUMN reporting.backlog_daily.department IS 'Name of the department';
  COMMENT ON COLUMN reporting.backlog_daily.channel IS 'Channel name';
  COMMENT ON COLUMN reporting.backlog_daily.open IS 'Open when the day ended, by the best estimate; 0 for the day that has not ended';
  COMMENT ON COLUMN reporting.backlog_daily.unassigned IS 'Of these, with status 100';
  COMMENT ON COLUMN reporting.backlog_daily.open_least IS 'At least so many: those that were seen open before and after';
  COMMENT ON COLUMN reporting.backlog_daily.open_most IS 'At most so many: those, too, that may have been open between two looks';
  COMMENT ON COLUMN reporting.backlog_daily.closed IS 'Closed on that day, as far as seen';
  COMMENT ON COLUMN reporting.backlog_daily.reopened IS 'Reopened on that day, as far as seen';
  COMMENT ON COLUMN reporting.backlog_daily.is_estimated IS 'The day ended before history was switched on: requests of then as they were when it was';
  COMMENT ON COLUMN reporting.backlog_daily.as_of IS 'reporting.sources.as_of: changes after it are not counted (UTC)';

  CREATE OR REPLACE VIEW reporting.status_times AS
  SELECT t.connection_id, t.id, t.opened_at, t.unassigned_ms, t.unassigned_ms_least, t.unassigned_ms_least + t.unsure_ms AS unassigned_ms_most,
    t.assigned_ms, t.assigned_ms_least, t.assigned_ms_least + t.unsure_ms AS assigned_ms_most, t.reopened, t.reassigned, t.first_agent, t.last_agent, t.as_of
  FROM (
    SELECT s.connection_id, s.id, min(coalesce(s.from_after, s.from_before)) AS opened_at, p.as_of,
      coalesce(sum(e.estimate) FILTER (WHERE s.status = 100), 0)::bigint AS unassigned_ms,
      coalesce(sum(e.least) FILTER (WHERE s.status = 100), 0)::bigint AS unassigned_ms_least,
      coalesce(sum(e.estimate) FILTER (WHERE s.status = 200), 0)::bigint AS assigned_ms,
      coalesce(sum(e.least) FILTER (WHERE s.status = 200), 0)::bigint AS assigned_ms_least,
      coalesce(sum(e.unsure), 0)::bigint AS unsure_ms,
      count(*) FILTER (WHERE s.status_before = 1000 AND s.is_open) AS reopened,
      count(*) FILTER (WHERE s.is_reassigned) AS reassigned,
      (array_agg(s.agent_id ORDER BY s.seq) FILTER (WHERE s.agent_id IS NOT NULL))[1] AS first_agent,
      (array_agg(s.agent_id ORDER BY s.seq DESC) FILTER (WHERE s.agent_id IS NOT NULL))[1] AS last_agent
    FROM reporting.request_states s
    JOIN sync.history h ON h.stream = 'tiledesk.requests' AND h.off_since IS NULL
    LEFT JOIN reporting.sources p ON p.connection_id = s.connection_id AND p.stream = 'tiledesk.requests'
    CROSS JOIN LATERAL (SELECT
      extract(epoch FROM greatest(interval '0', coalesce(s.to_before, p.as_of) - s.from_before)) * 1000 AS estimate,
      extract(epoch FROM greatest(interval '0', coalesce(s.to_after, p.as_of) - s.from_before)
        + CASE WHEN s.is_other THEN interval '0' ELSE s.from_before - s.from_after END) * 1000 AS least,
      CASE WHEN s.is_other THEN extract(epoch FROM s.from_before - s.from_after) * 1000 END AS unsure) e
    GROUP BY s.connection_id, s.id, p.as_of
  ) t;
  COMMENT ON VIEW reporting.status_times IS 'How long each request was in a status, from its versions: the true time is between least and most. A request that is still in the status counts until as_of';
  COMMENT ON COLUMN reporting.status_times.connection_id IS 'Configured account';
  COMMENT ON COLUMN reporting.status_times.id IS 'tiledesk.requests.id';
  COMMENT ON COLUMN reporting.status_times.opened_at IS 'Created upstream (UTC)';
  COMMENT ON COLUMN reporting.status_times.unassigned_ms IS 'Milliseconds with status 100, by the best estimate';
  COMMENT ON COLUMN reporting.status_times.unassigned_ms_least IS 'At least so many';
  COMMENT ON COLUMN reporting.status_times.unassigned_ms_most IS 'At most so many';
  COMMENT ON COLUMN reporting.status_times.assigned_ms IS 'Milliseconds with status 200, by the best estimate';
  COMMENT ON COLUMN reporting.status_times.assigned_ms_least IS 'At least so many';
  COMMENT ON COLUMN reporting.status_times.assigned_ms_most IS 'At most so many';
  COMMENT ON COLUMN reporting.status_times.reopened IS 'How often it was seen reopened';
  COMMENT ON COLUMN reporting.status_times.reassigned IS 'How often it was seen with other agents than before';
  COMMENT ON COLUMN reporting.status_times.first_agent IS 'User id of the agent who was seen first; null: none';
  COMMENT ON COLUMN reporting.status_times.last_agent IS 'User id of the agent who was seen last; null: none';
  COMMENT ON COLUMN reporting.status_times.as_of IS 'reporting.sources.as_of: changes after it are not counted (UTC)';

  CREATE OR REPLACE FUNCTION reporting.sla(target interval, measure text DEFAULT 'closed')
  RETURNS TABLE (connection_id text, id text, department_id text, opened_at timestamptz, done_after timestamptz, done_before timestamptz, outcome text)
  LANGUAGE sql STABLE AS $sla$
    SELECT f.connection_id, f.id, f.department_id, f.opened_at, f.done_after, f.done_before,
      CASE WHEN f.done_before - f.opened_at <= target THEN 'met'
        WHEN coalesce(f.done_after, p.as_of) - f.opened_at >= target THEN 'broken'
        ELSE 'undecided' END AS outcome
    FROM (
      SELECT s.connection_id, s.id, (array_agg(s.department_id ORDER BY s.seq DESC))[1] AS department_id, r.created_at AS opened_at,
        CASE measure WHEN 'closed' THEN min(s.from_after) FILTER (WHERE c.was_closed) WHEN 'answered' THEN r.first_response_at END AS done_after,
        -- The first closing came no later than the closing time that was seen with it.
        CASE measure WHEN 'closed' THEN min(CASE WHEN s.closed_at BETWEEN s.from_after AND s.from_before THEN s.closed_at ELSE s.from_before END)
          FILTER (WHERE c.was_closed) WHEN 'answered' THEN r.first_response_at END AS done_before
      FROM reporting.request_states s JOIN tiledesk.requests r ON r.connection_id = s.connection_id AND r.id = s.id
      -- The closing time stays after a reopening: of both between two looks it is the trace.
      CROSS JOIN LATERAL (SELECT s.status = 1000 OR s.closed_at IS NOT NULL AS was_closed) c
      WHERE r.draft IS NOT TRUE AND r.preflight IS NOT TRUE AND r.status IS DISTINCT FROM 50 AND r.deleted_at IS NULL
      GROUP BY s.connection_id, s.id, r.created_at, r.first_response_at
    ) f
    JOIN sync.history h ON h.stream = 'tiledesk.requests' AND h.off_since IS NULL
    LEFT JOIN reporting.sources p ON p.connection_id = f.connection_id AND p.stream = 'tiledesk.requests'
  $sla$;
  COMMENT ON FUNCTION reporting.sla(interval, text) IS 'Whether each request was closed (or ''answered'' by an agent) within the target after its creation: met, broken, or undecided where it was done between two looks of which only one was in time, or is not done and has time left';
END
$make$;
COMMENT ON FUNCTION "reporting"."make_history_views"() IS 'Makes backlog_daily, status_times and sla once tiledesk.requests has a history';

SELECT "reporting"."make_history_views"();
DROP VIEW IF EXISTS "reporting"."former_request_states";
