-- Business hours: how much of the wait for the first answer was within the hours in which one could be given.

-- Minutes of the week, from Monday on, as ranges that neither overlap nor touch. Overlapping windows of a day are one.
CREATE FUNCTION "reporting"."business_windows"(given text) RETURNS int4range[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  WITH windows AS (
    SELECT d.day * 1440 + t.at[1]::int * 60 + t.at[2]::int AS opens, d.day * 1440 + t.at[3]::int * 60 + t.at[4]::int AS closes,
      t.at[1] || t.at[2] < t.at[3] || t.at[4] AND t.at[3] || t.at[4] <= '2400' AS is_sound
    FROM regexp_split_to_table(lower(given), ',') AS part
    CROSS JOIN LATERAL regexp_matches(part, '([a-z]{3})(?:-([a-z]{3}))?') AS m(names)
    CROSS JOIN LATERAL (SELECT array_position('{mon,tue,wed,thu,fri,sat,sun}', m.names[1]) - 1 AS first,
      array_position('{mon,tue,wed,thu,fri,sat,sun}', coalesce(m.names[2], m.names[1])) - 1 AS last) n
    CROSS JOIN LATERAL (SELECT day FROM generate_series(0, 6) day WHERE (day - n.first + 7) % 7 <= (n.last - n.first + 7) % 7) d
    CROSS JOIN LATERAL regexp_matches(part, '(\d\d):(\d\d)-(\d\d):(\d\d)', 'g') AS t(at)
  ), minutes AS (
    SELECT minute, minute - row_number() OVER (ORDER BY minute) AS run
    FROM (SELECT DISTINCT minute FROM windows w CROSS JOIN LATERAL generate_series(w.opens, w.closes - 1) minute WHERE w.is_sound) m
  )
  SELECT CASE WHEN lower(btrim(given)) = 'none' THEN '{}'
    WHEN lower(given) ~ replace(replace('^\s*D(\s+T)+(\s*,\s*D(\s+T)+)*\s*$', 'D', '(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?'),
      'T', '([01]\d|2[0-4]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d') AND (SELECT bool_and(is_sound) FROM windows)
    THEN (SELECT array_agg(r.span ORDER BY r.span) FROM (SELECT int4range(min(minute)::int, max(minute)::int + 1) AS span FROM minutes GROUP BY run) r) END
$$;
COMMENT ON FUNCTION "reporting"."business_windows"(text) IS 'The minutes of the week in hours such as mon-fri 09:00-18:00; empty: none; null: they are not written like that';

-- Each window begins and ends by the clock of its own day, so a change of the clock within it counts as it was.
CREATE FUNCTION "reporting"."business_ms"(began timestamptz, ended timestamptz, windows int4range[], zone text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  RETURN (
    SELECT coalesce(sum(extract(epoch FROM least(ended, w.closes) - greatest(began, w.opens)) * 1000), 0)::bigint
    FROM generate_series(date_trunc('week', began AT TIME ZONE zone), ended AT TIME ZONE zone, interval '7 days') AS monday
    CROSS JOIN LATERAL (SELECT (monday + lower(span) * interval '1 minute') AT TIME ZONE zone AS opens,
      (monday + upper(span) * interval '1 minute') AT TIME ZONE zone AS closes FROM unnest(windows) AS span) w
    WHERE w.opens < ended AND w.closes > began
  );
END
$$;
COMMENT ON FUNCTION "reporting"."business_ms"(timestamptz, timestamptz, int4range[], text) IS 'How much of the time between two instants is within these windows, in a time zone';

ALTER TABLE "reporting"."settings" ADD COLUMN "business_hours" text,
  ADD COLUMN "business_windows" int4range[] GENERATED ALWAYS AS (reporting.business_windows("business_hours")) STORED,
  ADD CONSTRAINT "settings_business_hours_check" CHECK ("business_hours" IS NULL OR reporting.business_windows("business_hours") IS NOT NULL),
  -- An account with hours of its own may be in the time zone of all.
  ALTER COLUMN "time_zone" DROP NOT NULL,
  ADD CONSTRAINT "settings_zone_of_all_check" CHECK ("time_zone" IS NOT NULL OR "connection_id" <> '*');
ALTER TABLE "reporting"."settings" DROP CONSTRAINT "settings_time_zone_check",
  ADD CONSTRAINT "settings_time_zone_check" CHECK ("time_zone" IS NULL OR (timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE "time_zone") IS NOT NULL);
COMMENT ON TABLE "reporting"."settings" IS 'Time zone and business hours of each account. A change is worked in by the next refresh';
COMMENT ON COLUMN "reporting"."settings"."time_zone" IS 'Where days, weekdays and hours begin, a name as in pg_timezone_names: Europe/Rome; null: as for all';
COMMENT ON COLUMN "reporting"."settings"."business_hours" IS 'Such as mon-fri 09:00-13:00 14:00-18:00, sat 09:00-12:00, by the clock of that time zone; none: no hours; null: as for all';
COMMENT ON COLUMN "reporting"."settings"."business_windows" IS 'The same as minutes of the week, from Monday on';
ALTER TABLE "reporting"."applied_zones" ALTER COLUMN "time_zone" DROP NOT NULL;
ALTER TABLE "reporting"."response_histories" ADD COLUMN "business_windows" int4range[];
COMMENT ON COLUMN "reporting"."response_histories"."business_windows" IS 'The business hours that the requests of the account were computed with';
CREATE FUNCTION "reporting"."hours_of"(account text) RETURNS int4range[] LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT business_windows FROM reporting.settings WHERE connection_id = account),
    (SELECT business_windows FROM reporting.settings WHERE connection_id = '*'));
$$;
COMMENT ON FUNCTION "reporting"."hours_of"(text) IS 'The business hours that hold for an account, as minutes of the week; empty or null: none';
ALTER TABLE "reporting"."request_facts" ADD COLUMN "first_response_business_ms" bigint;
COMMENT ON COLUMN "reporting"."request_facts"."first_response_business_ms" IS 'Of first_response_ms, the part within business hours; null: no business hours are set, or more than ten years passed';
ALTER TABLE "reporting"."response_stats" ADD COLUMN "first_response_business_ms" double precision[];
COMMENT ON COLUMN "reporting"."response_stats"."first_response_business_ms" IS 'Median and 90th percentile, milliseconds; null: no business hours are set';

CREATE OR REPLACE FUNCTION "reporting"."refresh_requests"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  is_first CONSTANT boolean := is_full AND NOT EXISTS (SELECT FROM reporting.request_facts);
  account text;
  incoming CONSTANT text := $sql$
    SELECT r.connection_id, r.id, r.status,
      extract(hour FROM r.created_at AT TIME ZONE z.zone)::smallint AS opened_hour,
      c.is_counted,
      c.is_counted AND r.status IS DISTINCT FROM 1000 AND r.status IS DISTINCT FROM 150 AS is_open,
      r.first_response_at IS NOT NULL OR r.waiting_time_ms IS NOT NULL AS is_answered,
      (r.created_at AT TIME ZONE z.zone)::date AS opened_on,
      CASE WHEN r.status = 1000 THEN (r.closed_at AT TIME ZONE z.zone)::date END AS closed_on,
      r.created_at AS opened_at, r.first_response_at,
      CASE WHEN r.status = 1000 THEN r.closed_at END AS closed_at,
      CASE WHEN d.first_response_ms >= 0 THEN d.first_response_ms END AS first_response_ms,
      CASE WHEN r.status = 1000 AND d.resolution_ms >= 0 THEN d.resolution_ms END AS resolution_ms,
      r.rating::numeric AS rating, left(r.channel, 200) AS channel, r.department_id, r.lead_id,
      CASE WHEN r.status = 1000 AND r.closed_by <> 'system' AND left(r.closed_by, 1) <> '_' AND left(r.closed_by, 4) <> 'bot_'
        AND (r.closed_by = ANY (r.participants_bots)) IS NOT TRUE THEN left(r.closed_by, 200) END AS closer_id,
      CASE WHEN cardinality(r.participants_agents) > 1 THEN ARRAY(SELECT DISTINCT left(a, 200) FROM unnest(r.participants_agents) a ORDER BY 1)
        ELSE coalesce(r.participants_agents, '{}') END AS agent_ids,
      CASE WHEN h.windows <> '{}' AND d.first_response_ms BETWEEN 0 AND 315360000000 THEN reporting.business_ms(
        r.created_at, r.created_at + d.first_response_ms * interval '1 millisecond', h.windows, z.zone) END AS first_response_business_ms
    FROM tiledesk.requests r
    LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    LEFT JOIN reporting.settings a ON a.connection_id = '*'
    CROSS JOIN LATERAL (SELECT coalesce(s.time_zone, $3) AS zone) z
    CROSS JOIN LATERAL (SELECT coalesce(s.business_windows, a.business_windows) AS windows) h
    CROSS JOIN LATERAL (SELECT r.deleted_at IS NULL AND r.draft IS NOT TRUE AND r.preflight IS NOT TRUE
      AND r.status IS DISTINCT FROM 50 AS is_counted) c
    CROSS JOIN LATERAL (SELECT
      coalesce((date_part('epoch', r.first_response_at - r.created_at) * 1000)::bigint, r.waiting_time_ms) AS first_response_ms,
      coalesce((date_part('epoch', r.closed_at - r.created_at) * 1000)::bigint, r.duration_ms) AS resolution_ms) d
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
  -- Summed by day of opening and by day of closing before the two are put together: no row is multiplied.
  day_sums CONSTANT text := $sql$
    SELECT connection_id, day, channel, department_id, sum(opened), sum(closed), sum(abandoned), sum(rated), sum(satisfied), sum(rating)
    FROM (
      SELECT connection_id, opened_on AS day, coalesce(channel, '') AS channel, coalesce(department_id, '') AS department_id, sum(sign) AS opened,
        0 AS closed, coalesce(sum(sign) FILTER (WHERE status = 150), 0) AS abandoned, coalesce(sum(sign) FILTER (WHERE rating IS NOT NULL), 0) AS rated,
        coalesce(sum(sign) FILTER (WHERE rating >= 4), 0) AS satisfied, coalesce(sum(sign * rating), 0) AS rating
      FROM versions WHERE is_counted AND opened_on IS NOT NULL GROUP BY 1, 2, 3, 4
      UNION ALL
      SELECT connection_id, closed_on, coalesce(channel, ''), coalesce(department_id, ''), 0, sum(sign), 0, 0, 0, 0
      FROM versions WHERE is_counted AND closed_on IS NOT NULL GROUP BY 1, 2, 3, 4
    ) m
    GROUP BY 1, 2, 3, 4
    HAVING ROW(sum(opened), sum(closed), sum(abandoned), sum(rated), sum(satisfied), sum(rating)) <> ROW(0, 0, 0, 0, 0, 0) $sql$;
  agent_sums CONSTANT text := $sql$
    SELECT connection_id, day, agent_id, sum(requests), sum(answered), sum(closed), sum(rated), sum(rating)
    FROM (
      SELECT connection_id, opened_on AS day, a.agent_id, sum(sign) AS requests, coalesce(sum(sign) FILTER (WHERE is_answered), 0) AS answered, 0 AS closed,
        coalesce(sum(sign) FILTER (WHERE rating IS NOT NULL), 0) AS rated, coalesce(sum(sign * rating), 0) AS rating
      FROM versions CROSS JOIN LATERAL unnest(agent_ids) AS a(agent_id) WHERE is_counted AND opened_on IS NOT NULL GROUP BY 1, 2, 3
      UNION ALL
      SELECT connection_id, closed_on, closer_id, 0, 0, sum(sign), 0, 0
      FROM versions WHERE is_counted AND closed_on IS NOT NULL AND closer_id IS NOT NULL GROUP BY 1, 2, 3
    ) m
    GROUP BY 1, 2, 3
    HAVING ROW(sum(requests), sum(answered), sum(closed), sum(rated), sum(rating)) <> ROW(0, 0, 0, 0, 0) $sql$;
BEGIN
  -- Accounts that have other business hours than before are computed anew. Their whole history is not put off: it would be wrong, not old.
  IF only_connection IS NULL THEN
    FOR account IN UPDATE reporting.response_histories h SET business_windows = reporting.hours_of(h.connection_id), computed_at = NULL
      WHERE h.business_windows IS DISTINCT FROM reporting.hours_of(h.connection_id) RETURNING h.connection_id
    LOOP
      IF NOT is_full THEN PERFORM reporting.refresh_requests(NULL, account, false, default_zone); END IF;
    END LOOP;
  END IF;
  IF is_first THEN
    EXECUTE 'INSERT INTO reporting.request_facts ' || incoming USING since, only_connection, default_zone;
  ELSE
    IF is_full THEN
      DELETE FROM reporting.request_facts f
      WHERE NOT EXISTS (SELECT FROM tiledesk.requests r WHERE r.connection_id = f.connection_id AND r.id = f.id);
    END IF;
    EXECUTE format($sql$
      WITH incoming AS MATERIALIZED (
        %s
      ), changed AS MATERIALIZED (
        SELECT n.* FROM incoming n LEFT JOIN reporting.request_facts f ON f.connection_id = n.connection_id AND f.id = n.id
        WHERE f.id IS NULL OR ROW(f.*) IS DISTINCT FROM ROW(n.*)
      ), versions AS MATERIALIZED (
        SELECT 1 AS sign, c.* FROM changed c WHERE NOT $4
        UNION ALL
        SELECT -1, f.* FROM changed c JOIN reporting.request_facts f ON f.connection_id = c.connection_id AND f.id = c.id WHERE NOT $4
      ), noted AS (
        INSERT INTO reporting.touched
        SELECT DISTINCT 'month', connection_id, date_trunc('month', opened_on)::date::text FROM versions WHERE is_counted AND opened_on IS NOT NULL
        UNION ALL
        SELECT DISTINCT 'chat', connection_id, lead_id FROM versions WHERE lead_id IS NOT NULL
      ), days AS (
        INSERT INTO reporting.request_days AS t %s
        ON CONFLICT (connection_id, day, channel, department_id) DO UPDATE SET opened = t.opened + excluded.opened, closed = t.closed + excluded.closed,
          abandoned = t.abandoned + excluded.abandoned, rated = t.rated + excluded.rated, satisfied = t.satisfied + excluded.satisfied,
          rating_sum = t.rating_sum + excluded.rating_sum
      ), agents AS (
        INSERT INTO reporting.agent_days AS t %s
        ON CONFLICT (connection_id, day, agent_id) DO UPDATE SET requests = t.requests + excluded.requests, answered = t.answered + excluded.answered,
          closed = t.closed + excluded.closed, rated = t.rated + excluded.rated, rating_sum = t.rating_sum + excluded.rating_sum
      )
      INSERT INTO reporting.request_facts SELECT * FROM changed
      ON CONFLICT (connection_id, id) DO UPDATE SET status = excluded.status, opened_hour = excluded.opened_hour, is_counted = excluded.is_counted,
        is_open = excluded.is_open, is_answered = excluded.is_answered, opened_on = excluded.opened_on, closed_on = excluded.closed_on,
        opened_at = excluded.opened_at, first_response_at = excluded.first_response_at, closed_at = excluded.closed_at,
        first_response_ms = excluded.first_response_ms, resolution_ms = excluded.resolution_ms, rating = excluded.rating, channel = excluded.channel,
        department_id = excluded.department_id, lead_id = excluded.lead_id, closer_id = excluded.closer_id, agent_ids = excluded.agent_ids,
        first_response_business_ms = excluded.first_response_business_ms
    $sql$, incoming, day_sums, agent_sums) USING since, only_connection, default_zone, is_full;
  END IF;
  PERFORM reporting.make_indexes('reporting.request_facts');
  IF NOT is_full THEN RETURN; END IF;
  ANALYZE reporting.request_facts;
  DELETE FROM reporting.request_days;
  EXECUTE 'INSERT INTO reporting.request_days WITH versions AS NOT MATERIALIZED (SELECT 1 AS sign, f.* FROM reporting.request_facts f)' || day_sums;
  DELETE FROM reporting.agent_days;
  EXECUTE 'INSERT INTO reporting.agent_days WITH versions AS NOT MATERIALIZED (SELECT 1 AS sign, f.* FROM reporting.request_facts f)' || agent_sums;
  DELETE FROM reporting.response_stats;
  INSERT INTO reporting.touched
  SELECT DISTINCT 'month', connection_id, date_trunc('month', day)::date::text FROM reporting.request_days WHERE opened <> 0;
END
$$;

CREATE OR REPLACE FUNCTION "reporting"."add_response_stats"(account text, in_month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  stats CONSTANT text := $sql$count(*), count(first_response_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY first_response_ms),
    count(resolution_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolution_ms), $sql$
    -- Without business hours there is nothing to sort.
    || CASE WHEN reporting.hours_of(account) <> '{}'
      THEN 'percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY first_response_business_ms)' ELSE 'NULL::float8[]' END;
  target CONSTANT text := 'reporting.response_stats (connection_id, month, dimension, key, requests, answered, first_response_ms, resolved, resolution_ms,
    first_response_business_ms)';
  wanted CONSTANT text := 'f.connection_id = $1 AND f.is_counted AND f.opened_on >= $3 AND f.opened_on < $4';
  since CONSTANT date := coalesce(in_month, '-infinity');
  until CONSTANT date := coalesce((in_month + interval '1 month')::date, 'infinity');
BEGIN
  EXECUTE format($sql$
    INSERT INTO %s
    SELECT $1, $2, CASE WHEN grouping(department) = 0 THEN 'department' WHEN grouping(weekday) = 0 THEN 'weekday' WHEN grouping(hour) = 0 THEN 'hour'
        ELSE 'all' END,
      coalesce(department, weekday::text, lpad(hour::text, 2, '0'), ''), %s
    FROM (
      SELECT coalesce(f.department_id, '') COLLATE "C" AS department, extract(isodow FROM f.opened_on)::int AS weekday, f.opened_hour AS hour,
        f.first_response_ms, f.resolution_ms, f.first_response_business_ms
      FROM reporting.request_facts f WHERE %s
    ) q
    GROUP BY GROUPING SETS ((), (department), (weekday), (hour)) HAVING count(*) > 0
  $sql$, target, stats, wanted) USING account, in_month, since, until;
  EXECUTE format($sql$
    INSERT INTO %s
    SELECT $1, $2, 'agent', agent_id, %s
    FROM (
      SELECT a.agent_id COLLATE "C" AS agent_id, f.first_response_ms, f.resolution_ms, f.first_response_business_ms
      FROM reporting.request_facts f CROSS JOIN LATERAL unnest(f.agent_ids) AS a(agent_id) WHERE %s
    ) q
    GROUP BY agent_id
  $sql$, target, stats, wanted) USING account, in_month, since, until;
END
$$;

CREATE OR REPLACE FUNCTION "reporting"."refresh_responses"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  cell record;
  began timestamptz;
BEGIN
  FOR cell IN SELECT DISTINCT connection_id, value::date AS month FROM reporting.touched WHERE kind = 'month' LOOP
    DELETE FROM reporting.response_stats WHERE connection_id = cell.connection_id AND month = cell.month;
    PERFORM reporting.add_response_stats(cell.connection_id, cell.month);
  END LOOP;
  INSERT INTO reporting.response_histories (connection_id, is_outdated, business_windows)
  SELECT connection_id, true, reporting.hours_of(connection_id) FROM reporting.touched WHERE kind = 'month' GROUP BY 1
  ON CONFLICT (connection_id) DO UPDATE SET is_outdated = true;
  FOR cell IN
    SELECT connection_id FROM reporting.response_histories
    WHERE is_outdated AND (is_full OR computed_at IS NULL OR clock_timestamp() - computed_at > took_ms * interval '50 milliseconds')
  LOOP
    began := clock_timestamp();
    DELETE FROM reporting.response_stats WHERE connection_id = cell.connection_id AND month IS NULL;
    PERFORM reporting.add_response_stats(cell.connection_id, NULL);
    UPDATE reporting.response_histories SET is_outdated = false, computed_at = clock_timestamp(),
      took_ms = extract(epoch FROM clock_timestamp() - began) * 1000,
      as_of = (SELECT s.as_of FROM reporting.sources s WHERE s.connection_id = cell.connection_id AND s.stream = 'tiledesk.requests')
    WHERE connection_id = cell.connection_id;
  END LOOP;
END
$$;

CREATE OR REPLACE VIEW "reporting"."requests" AS
SELECT f.connection_id, f.id, f.status, f.opened_at, f.opened_on, f.opened_hour, f.first_response_at, f.closed_at, f.closed_on, f.is_open, f.is_answered,
  f.first_response_ms / 1000.0::double precision AS first_response_seconds, f.resolution_ms / 1000.0::double precision AS resolution_seconds, f.rating,
  f.channel, f.department_id, n.name AS department, f.lead_id, f.agent_ids, f.closer_id, s.as_of,
  reporting.status_name('tiledesk.requests', f.status) AS status_name,
  ARRAY(SELECT coalesce(a.names ->> i.id, i.id) FROM unnest(f.agent_ids) i (id)) AS agents, a.names ->> f.closer_id AS closer,
  f.first_response_business_ms / 1000.0::double precision AS first_response_business_seconds
FROM "reporting"."request_facts" f
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = f.connection_id AND n.id = f.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = f.connection_id AND s.stream = 'tiledesk.requests'
LEFT JOIN (SELECT connection_id, jsonb_object_agg(id, name) AS names FROM "reporting"."names" WHERE kind = 'agent' GROUP BY connection_id) a
  ON a.connection_id = f.connection_id
WHERE f.is_counted;
COMMENT ON COLUMN "reporting"."requests"."first_response_business_seconds" IS 'Of first_response_seconds, the part within the business hours of the account; null: none are set';

CREATE OR REPLACE VIEW "reporting"."response_times" AS
SELECT r.connection_id, r.month, r.dimension, r.key,
  CASE r.dimension WHEN 'weekday' THEN (ARRAY['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[r.key::int]
    WHEN 'hour' THEN r.key || ':00' ELSE n.name END AS label,
  r.requests, r.answered, r.first_response_ms[1] / 1000 AS first_response_median_seconds, r.first_response_ms[2] / 1000 AS first_response_p90_seconds,
  r.resolved, r.resolution_ms[1] / 1000 AS resolution_median_seconds, r.resolution_ms[2] / 1000 AS resolution_p90_seconds,
  CASE WHEN r.month IS NULL AND h.is_outdated THEN h.as_of ELSE s.as_of END AS as_of,
  r.first_response_business_ms[1] / 1000 AS first_response_business_median_seconds,
  r.first_response_business_ms[2] / 1000 AS first_response_business_p90_seconds
FROM "reporting"."response_stats" r
LEFT JOIN "reporting"."names" n ON n.kind = r.dimension AND n.connection_id = r.connection_id AND n.id = r.key
LEFT JOIN "reporting"."response_histories" h ON h.connection_id = r.connection_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = r.connection_id AND s.stream = 'tiledesk.requests';
COMMENT ON COLUMN "reporting"."response_times"."first_response_business_median_seconds" IS 'Median of the part within the business hours of the account; null: none are set';
COMMENT ON COLUMN "reporting"."response_times"."first_response_business_p90_seconds" IS '90th percentile of the same';
