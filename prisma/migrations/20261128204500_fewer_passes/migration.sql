-- The first computation reads each request fewer times.

CREATE OR REPLACE FUNCTION "reporting"."refresh_requests"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  is_first CONSTANT boolean := is_full AND NOT EXISTS (SELECT FROM reporting.request_facts);
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
        ELSE coalesce(r.participants_agents, '{}') END AS agent_ids
    FROM tiledesk.requests r
    LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    CROSS JOIN LATERAL (SELECT coalesce(s.time_zone, $3) AS zone) z
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
        department_id = excluded.department_id, lead_id = excluded.lead_id, closer_id = excluded.closer_id, agent_ids = excluded.agent_ids
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

-- One reading of the requests for each agent, another one for the rest.
CREATE OR REPLACE FUNCTION "reporting"."add_response_stats"(account text, in_month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  stats CONSTANT text := $sql$count(*), count(first_response_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY first_response_ms),
    count(resolution_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolution_ms)$sql$;
  wanted CONSTANT text := 'f.connection_id = $1 AND f.is_counted AND f.opened_on >= $3 AND f.opened_on < $4';
  since CONSTANT date := coalesce(in_month, '-infinity');
  until CONSTANT date := coalesce((in_month + interval '1 month')::date, 'infinity');
BEGIN
  EXECUTE format($sql$
    INSERT INTO reporting.response_stats
    SELECT $1, $2, CASE WHEN grouping(department) = 0 THEN 'department' WHEN grouping(weekday) = 0 THEN 'weekday' WHEN grouping(hour) = 0 THEN 'hour'
        ELSE 'all' END,
      coalesce(department, weekday::text, lpad(hour::text, 2, '0'), ''), %s
    FROM (
      SELECT coalesce(f.department_id, '') COLLATE "C" AS department, extract(isodow FROM f.opened_on)::int AS weekday, f.opened_hour AS hour,
        f.first_response_ms, f.resolution_ms
      FROM reporting.request_facts f WHERE %s
    ) q
    GROUP BY GROUPING SETS ((), (department), (weekday), (hour)) HAVING count(*) > 0
  $sql$, stats, wanted) USING account, in_month, since, until;
  EXECUTE format($sql$
    INSERT INTO reporting.response_stats
    SELECT $1, $2, 'agent', agent_id, %s
    FROM (
      SELECT a.agent_id COLLATE "C" AS agent_id, f.first_response_ms, f.resolution_ms
      FROM reporting.request_facts f CROSS JOIN LATERAL unnest(f.agent_ids) AS a(agent_id) WHERE %s
    ) q
    GROUP BY agent_id
  $sql$, stats, wanted) USING account, in_month, since, until;
END
$$;
