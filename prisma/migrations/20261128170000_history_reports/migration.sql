-- Reports from the versions of requests. They can only be made once there are versions: switching on the history of tiledesk.requests calls this.
CREATE FUNCTION "reporting"."make_history_views"() RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
  IF to_regclass('tiledesk.requests_versions') IS NULL THEN RETURN; END IF;

  -- One row for each state in which a request was seen. Between the end of one (to_after) and the beginning of the next (to_before) anything can have been:
  -- a reopening and a closing between two looks show as another closed_at only.
  CREATE OR REPLACE VIEW reporting.request_states AS
  SELECT s.connection_id, s.id, s.seq, s.status, s.is_open, s.department_id, s.channel, s.participants_agents, s.assigned_at, s.closed_at,
    s.from_after, s.from_before, lead(s.from_after) OVER later AS to_after, lead(s.from_before) OVER later AS to_before,
    lag(s.seq) OVER later IS NULL AS is_first, lag(s.status) OVER later AS status_before, coalesce(lag(s.is_open) OVER later, false) AS was_open,
    lag(s.department_id) OVER later AS department_before, lag(s.channel) OVER later AS channel_before, lag(s.participants_agents) OVER later AS agents_before,
    lag(s.seq) OVER later IS NULL OR (lag(s.status) OVER later, lag(s.is_open) OVER later, lag(s.assigned_at) OVER later, lag(s.closed_at) OVER later)
      IS DISTINCT FROM (s.status, s.is_open, s.assigned_at, s.closed_at) AS is_other
  FROM (
    SELECT v.connection_id, v.id, v.seq, v.status, v.department_id, v.channel, v.participants_agents, v.assigned_at, v.closed_at, o.is_open,
      v.changed_after AS from_after, v.changed_before AS from_before,
      lag(v.seq) OVER w IS NULL OR (v.status, v.department_id, v.channel, v.participants_agents, v.assigned_at, v.closed_at, v.draft, v.preflight, v.deleted_at)
        IS DISTINCT FROM (lag(v.status) OVER w, lag(v.department_id) OVER w, lag(v.channel) OVER w, lag(v.participants_agents) OVER w,
          lag(v.assigned_at) OVER w, lag(v.closed_at) OVER w, lag(v.draft) OVER w, lag(v.preflight) OVER w, lag(v.deleted_at) OVER w) AS is_change
    FROM tiledesk.requests_versions v
    CROSS JOIN LATERAL (SELECT v.deleted_at IS NULL AND v.draft IS NOT TRUE AND v.preflight IS NOT TRUE
      AND (v.status IN (50, 150, 1000)) IS NOT TRUE AS is_open) o
    WINDOW w AS (PARTITION BY v.connection_id, v.id ORDER BY v.seq)
  ) s
  WHERE s.is_change
  WINDOW later AS (PARTITION BY s.connection_id, s.id ORDER BY s.seq);
  COMMENT ON VIEW reporting.request_states IS 'States of requests as the mirror saw them; read by backlog_daily, status_times and sla';

  CREATE OR REPLACE VIEW reporting.backlog_daily AS
  SELECT b.connection_id, b.day, b.department_id, n.name AS department, b.channel, b.open, b.unassigned, b.open_least, b.open_most,
    b.closed, b.reopened, b.day_ends_at < h.on_since AS is_estimated, p.as_of
  FROM (
    SELECT s.connection_id, d.day::date AS day, i.department_id, i.channel, sum(i.open) AS open, sum(i.unassigned) AS unassigned, sum(i.least) AS open_least,
      sum(i.most) AS open_most, sum(i.closed) AS closed, sum(i.reopened) AS reopened, min((d.day + interval '1 day') AT TIME ZONE z.zone) AS day_ends_at
    FROM reporting.request_states s
    LEFT JOIN reporting.settings own ON own.connection_id = s.connection_id
    LEFT JOIN reporting.settings common ON common.connection_id = '*'
    CROSS JOIN LATERAL (SELECT coalesce(own.time_zone, common.time_zone, 'UTC') AS zone, s.is_open AND s.was_open AND NOT s.is_other
        AND s.department_id IS NOT DISTINCT FROM s.department_before AND s.channel IS NOT DISTINCT FROM s.channel_before AS is_sure,
      s.is_open OR s.was_open OR s.is_other AS is_possible) z
    CROSS JOIN LATERAL (VALUES
      -- The best estimate: a request that was open when it was first seen was so from its beginning on.
      (CASE WHEN s.is_first AND s.closed_at IS NULL THEN coalesce(s.from_after, s.from_before) ELSE s.from_before END, coalesce(s.to_before, now()), true,
        s.department_id, s.channel, s.is_open::int, (s.is_open AND s.status = 100)::int, 0, 0, 0, 0),
      (s.from_before, coalesce(s.to_after, now()), true, s.department_id, s.channel, 0, 0, s.is_open::int, s.is_open::int, 0, 0),
      (s.from_after, s.from_before, true, s.department_id, s.channel, 0, 0, z.is_sure::int, z.is_possible::int, 0, 0),
      -- It may have been where it was before.
      (s.from_after, s.from_before, true, s.department_before, s.channel_before, 0, 0, 0, (z.is_possible AND NOT s.is_first
        AND (s.department_id, s.channel) IS DISTINCT FROM (s.department_before, s.channel_before))::int, 0, 0),
      (CASE WHEN s.closed_at BETWEEN s.from_after AND s.from_before THEN s.closed_at ELSE s.from_before END, NULL, false, s.department_id, s.channel, 0, 0, 0, 0,
        (s.status = 1000 AND s.status_before IS DISTINCT FROM 1000)::int, (s.status_before = 1000 AND s.is_open)::int)
    ) i (since, until, is_state, department_id, channel, open, unassigned, least, most, closed, reopened)
    -- A state counts on each day at whose end it was so, an event on its day.
    CROSS JOIN LATERAL generate_series((i.since AT TIME ZONE z.zone)::date::timestamp,
      CASE WHEN i.is_state THEN ((i.until AT TIME ZONE z.zone)::date - 1)::timestamp ELSE (i.since AT TIME ZONE z.zone)::date::timestamp END, interval '1 day') d (day)
    WHERE i.open + i.least + i.most + i.closed + i.reopened > 0
    GROUP BY 1, 2, 3, 4
  ) b
  JOIN sync.history h ON h.stream = 'tiledesk.requests'
  LEFT JOIN sync.status p ON p.connection_id = b.connection_id AND p.stream = 'tiledesk.requests'
  LEFT JOIN reporting.names n ON n.kind = 'department' AND n.connection_id = b.connection_id AND n.id = b.department_id;
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
  COMMENT ON COLUMN reporting.backlog_daily.as_of IS 'sync.status.as_of: changes after it are not counted (UTC)';

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
      count(*) FILTER (WHERE cardinality(s.agents_before) > 0 AND cardinality(s.participants_agents) > 0 AND s.agents_before <> s.participants_agents)
        AS reassigned,
      (array_agg(s.participants_agents[1] ORDER BY s.seq) FILTER (WHERE cardinality(s.participants_agents) > 0))[1] AS first_agent,
      (array_agg(s.participants_agents[1] ORDER BY s.seq DESC) FILTER (WHERE cardinality(s.participants_agents) > 0))[1] AS last_agent
    FROM reporting.request_states s
    LEFT JOIN sync.status p ON p.connection_id = s.connection_id AND p.stream = 'tiledesk.requests'
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
  COMMENT ON COLUMN reporting.status_times.as_of IS 'sync.status.as_of: changes after it are not counted (UTC)';

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
    LEFT JOIN sync.status p ON p.connection_id = f.connection_id AND p.stream = 'tiledesk.requests'
  $sla$;
  COMMENT ON FUNCTION reporting.sla(interval, text) IS 'Whether each request was closed (or ''answered'' by an agent) within the target after its creation: met, broken, or undecided where it was done between two looks of which only one was in time, or is not done and has time left';
END
$make$;
COMMENT ON FUNCTION "reporting"."make_history_views"() IS 'Makes request_states, backlog_daily, status_times and sla once tiledesk.requests has a history';
SELECT "reporting"."make_history_views"();
