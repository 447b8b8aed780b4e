-- A first computation writes each row once, into tables without secondary indexes; a person who is one lead and no more has no row of its own.

-- Secondary indexes are made by the refresh that brings the first rows: to build one from rows that are there costs a third of adding to it row by row.
-- It takes no lock that readers wait for. Where texts have no upper limit, the index is a hash: an entry of another kind has one.
CREATE FUNCTION "reporting"."make_indexes"(facts regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  missing record;
  is_filled boolean;
BEGIN
  FOR missing IN
    SELECT name, definition FROM (VALUES
      ('reporting.request_facts', 'request_facts_opened_on_idx', 'reporting.request_facts (connection_id, opened_on)'),
      ('reporting.request_facts', 'request_facts_lead_id_idx', 'reporting.request_facts (connection_id, lead_id)'),
      ('reporting.request_facts', 'request_facts_open_idx', 'reporting.request_facts (connection_id, department_id) WHERE is_open'),
      -- The key of a lead with an address is that address: the first finds by both, the third the other leads.
      ('reporting.lead_facts', 'lead_facts_email_key_idx', 'reporting.lead_facts (email_key) WHERE email_key IS NOT NULL'),
      ('reporting.lead_facts', 'lead_facts_phone_key_idx', 'reporting.lead_facts (phone_key) WHERE phone_key IS NOT NULL'),
      ('reporting.lead_facts', 'lead_facts_other_key_idx', 'reporting.lead_facts USING hash (person_key) WHERE email_key IS NULL'),
      ('reporting.visit_facts', 'visit_facts_link_id_idx', 'reporting.visit_facts (connection_id, link_id)'),
      ('reporting.visit_facts', 'visit_facts_visited_on_idx', 'reporting.visit_facts (connection_id, visited_on)'),
      ('reporting.link_facts', 'link_facts_project_id_idx', 'reporting.link_facts (connection_id, project_id)'),
      ('reporting.link_facts', 'link_facts_external_id_idx', 'reporting.link_facts USING hash (external_id)'),
      ('reporting.link_facts', 'link_facts_phone_key_idx', 'reporting.link_facts (phone_key)'),
      ('reporting.link_facts', 'link_facts_person_key_idx', 'reporting.link_facts USING hash (person_key)'),
      -- Only links look leads up by it.
      ('reporting.link_facts', 'lead_facts_external_id_idx', 'reporting.lead_facts USING hash (external_id)')
    ) AS i(facts, name, definition)
    WHERE i.facts::regclass = make_indexes.facts AND to_regclass('reporting.' || i.name) IS NULL
  LOOP
    IF is_filled IS NULL THEN EXECUTE format('SELECT EXISTS (SELECT FROM %s)', facts) INTO is_filled; END IF;
    IF is_filled THEN EXECUTE format('CREATE INDEX %I ON %s', missing.name, missing.definition); END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION "reporting"."make_indexes"(regclass) IS 'Part of the refresh: the secondary indexes of a table that has got its first rows';

DO $$
DECLARE
  made record;
BEGIN
  FOR made IN
    SELECT indexrelid::regclass AS name FROM pg_index
    WHERE NOT indisunique AND indrelid = ANY ('{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts}'::regclass[])
  LOOP
    EXECUTE format('DROP INDEX %s', made.name);
  END LOOP;
  PERFORM reporting.make_indexes(facts) FROM unnest('{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts}'::regclass[]) facts;
END
$$;

-- A refresh analyzes what it filled before it reads it: a fifth of the usual sample is enough for these plans.
DO $$
DECLARE
  facts record;
BEGIN
  FOR facts IN
    SELECT attrelid::regclass AS name, attname FROM pg_attribute
    WHERE attrelid = ANY ('{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[])
      AND attnum > 0 AND NOT attisdropped
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 20', facts.name, facts.attname);
  END LOOP;
END
$$;

-- Without regular expressions, and not called for what is null: a third of the time.
CREATE OR REPLACE FUNCTION "reporting"."phone_of"(given text) RETURNS text LANGUAGE plpgsql STRICT IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  digits text := left(given, 100);
BEGIN
  digits := translate(digits, translate(digits, '0123456789', ''), '');
  IF left(digits, 2) = '00' THEN digits := substr(digits, 3); END IF;
  RETURN CASE WHEN length(digits) BETWEEN 7 AND 15 AND translate(digits, left(digits, 1), '') <> '' THEN digits END;
END
$$;

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
      coalesce((extract(epoch FROM r.first_response_at - r.created_at) * 1000)::bigint, r.waiting_time_ms) AS first_response_ms,
      coalesce((extract(epoch FROM r.closed_at - r.created_at) * 1000)::bigint, r.duration_ms) AS resolution_ms) d
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
  day_sums CONSTANT text := $sql$
    SELECT v.connection_id, m.day, coalesce(v.channel, ''), coalesce(v.department_id, ''), sum(v.sign * m.opened), sum(v.sign * m.closed),
      sum(v.sign * m.abandoned), sum(v.sign * m.rated), sum(v.sign * m.satisfied), sum(v.sign * m.rating)
    FROM versions v CROSS JOIN LATERAL (
      SELECT v.opened_on AS day, 1 AS opened, 0 AS closed, (v.status IS NOT DISTINCT FROM 150)::int AS abandoned, (v.rating IS NOT NULL)::int AS rated,
        coalesce((v.rating >= 4)::int, 0) AS satisfied, coalesce(v.rating, 0) AS rating WHERE v.opened_on IS NOT NULL
      UNION ALL
      SELECT v.closed_on, 0, 1, 0, 0, 0, 0 WHERE v.closed_on IS NOT NULL
    ) m
    WHERE v.is_counted GROUP BY 1, 2, 3, 4
    HAVING ROW(sum(v.sign * m.opened), sum(v.sign * m.closed), sum(v.sign * m.abandoned), sum(v.sign * m.rated), sum(v.sign * m.satisfied),
      sum(v.sign * m.rating)) <> ROW(0, 0, 0, 0, 0, 0) $sql$;
  agent_sums CONSTANT text := $sql$
    SELECT v.connection_id, m.day, m.agent_id, sum(v.sign * m.requests), sum(v.sign * m.answered), sum(v.sign * m.closed), sum(v.sign * m.rated),
      sum(v.sign * m.rating)
    FROM versions v CROSS JOIN LATERAL (
      SELECT v.opened_on AS day, a.agent_id, 1 AS requests, v.is_answered::int AS answered, 0 AS closed, (v.rating IS NOT NULL)::int AS rated,
        coalesce(v.rating, 0) AS rating FROM unnest(v.agent_ids) AS a(agent_id) WHERE v.opened_on IS NOT NULL
      UNION ALL
      SELECT v.closed_on, v.closer_id, 0, 0, 1, 0, 0 WHERE v.closed_on IS NOT NULL AND v.closer_id IS NOT NULL
    ) m
    WHERE v.is_counted GROUP BY 1, 2, 3
    HAVING ROW(sum(v.sign * m.requests), sum(v.sign * m.answered), sum(v.sign * m.closed), sum(v.sign * m.rated), sum(v.sign * m.rating))
      <> ROW(0, 0, 0, 0, 0) $sql$;
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
  SELECT DISTINCT 'month', connection_id, date_trunc('month', opened_on)::date::text FROM reporting.request_facts WHERE is_counted AND opened_on IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION "reporting"."refresh_leads"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  incoming CONSTANT text := $sql$
    SELECT r.connection_id, r.id, c.is_counted, (r.created_at AT TIME ZONE coalesce(s.time_zone, $3))::date AS created_on, r.created_at,
      CASE WHEN c.is_counted THEN nullif(r.lead_id, '') END AS external_id, k.email_key, k.phone_key,
      CASE WHEN c.is_counted THEN nullif(r.fullname, '') END AS name,
      CASE WHEN c.is_counted THEN nullif(r.phone, '') END AS phone,
      CASE WHEN c.is_counted THEN nullif(r.company, '') END AS company,
      -- What a key of a phone number leads to depends on other rows: refresh_people decides.
      CASE WHEN NOT c.is_counted THEN NULL WHEN k.email_key IS NOT NULL THEN 'email:' || k.email_key
        WHEN k.phone_key IS NULL THEN 'lead:' || r.connection_id || ':' || r.id END AS person_key,
      CASE WHEN k.email_key IS NOT NULL THEN 'email' END AS matched_by
    FROM tiledesk.leads r
    LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    CROSS JOIN LATERAL (SELECT r.deleted_at IS NULL AND r.status IS DISTINCT FROM 50 AND r.status IS DISTINCT FROM 1000 AS is_counted) c
    -- OFFSET 0: each is computed once, however often it is used.
    CROSS JOIN LATERAL (SELECT CASE WHEN c.is_counted THEN reporting.email_of(r.email) END AS email_key,
      CASE WHEN c.is_counted THEN reporting.phone_of(r.phone) END AS phone_key OFFSET 0) k
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
BEGIN
  IF is_full AND NOT EXISTS (SELECT FROM reporting.lead_facts) THEN
    EXECUTE format($sql$
      INSERT INTO reporting.lead_facts (connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company,
        person_key, matched_by, requests, open_requests, is_answered, is_closed, is_rated, last_chat_at)
      SELECT n.*, coalesce(s.requests, 0), coalesce(s.open_requests, 0), coalesce(s.is_answered, false), coalesce(s.is_closed, false),
        coalesce(s.is_rated, false), s.last_chat_at
      FROM (%s) n
      LEFT JOIN (
        SELECT connection_id, lead_id, count(*) AS requests, count(*) FILTER (WHERE is_open) AS open_requests, bool_or(is_answered) AS is_answered,
          bool_or(is_answered AND status = 1000) AS is_closed, bool_or(is_answered AND status = 1000 AND rating IS NOT NULL) AS is_rated,
          max(opened_at) AS last_chat_at
        FROM reporting.request_facts WHERE is_counted AND lead_id IS NOT NULL GROUP BY 1, 2
      ) s ON s.connection_id = n.connection_id AND s.lead_id = n.id
    $sql$, incoming) USING since, only_connection, default_zone;
    ANALYZE reporting.lead_facts;
    RETURN;
  END IF;
  IF is_full THEN
    DELETE FROM reporting.lead_facts f WHERE NOT EXISTS (SELECT FROM tiledesk.leads r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      %s
    ), changed AS MATERIALIZED (
      SELECT n.*, f.external_id AS old_external_id, f.phone_key AS old_phone_key, f.person_key AS old_person_key
      FROM incoming n LEFT JOIN reporting.lead_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.is_counted, f.created_on, f.created_at, f.external_id, f.email_key, f.phone_key, f.name, f.phone, f.company)
        IS DISTINCT FROM ROW(n.is_counted, n.created_on, n.created_at, n.external_id, n.email_key, n.phone_key, n.name, n.phone, n.company)
    ), noted AS (
      INSERT INTO reporting.touched SELECT m.* FROM changed c CROSS JOIN LATERAL (VALUES ('chat', c.connection_id, c.id),
        ('external', '', c.id), ('external', '', c.external_id), ('external', '', c.old_external_id), ('phone', '', c.phone_key),
        ('phone', '', c.old_phone_key), ('person', '', c.person_key), ('person', '', c.old_person_key)) AS m(kind, connection_id, value)
      WHERE m.value IS NOT NULL AND NOT $4 AND (m.kind <> 'external' OR EXISTS (SELECT FROM reporting.link_facts))
    )
    INSERT INTO reporting.lead_facts AS t (connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company,
      person_key, matched_by)
    SELECT connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company, person_key, matched_by
    FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET is_counted = excluded.is_counted, created_on = excluded.created_on, created_at = excluded.created_at,
      external_id = excluded.external_id, email_key = excluded.email_key, phone_key = excluded.phone_key, name = excluded.name,
      phone = excluded.phone, company = excluded.company, person_key = excluded.person_key, matched_by = excluded.matched_by
  $sql$, incoming) USING since, only_connection, default_zone, is_full;
  IF is_full THEN ANALYZE reporting.lead_facts; END IF;
  PERFORM reporting.refresh_chats(is_full);
END
$$;

CREATE OR REPLACE FUNCTION "reporting"."refresh_links"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  is_first CONSTANT boolean := is_full AND NOT EXISTS (SELECT FROM reporting.link_facts) AND NOT EXISTS (SELECT FROM reporting.visit_facts);
  visits CONSTANT text := $sql$
    SELECT r.connection_id, r.id, r.token_id AS link_id, r.deleted_at IS NULL AS is_counted, coalesce(r.access_date, r.created_at) AS visited_at,
      (coalesce(r.access_date, r.created_at) AT TIME ZONE coalesce(s.time_zone, $3))::date AS visited_on, least(r.total_time, 1e15::bigint) AS time_read_ms,
      r.percentage_read AS percent_read, r.signed IS TRUE AS is_signed
    FROM tilkee.connexions r LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
  links CONSTANT text := $sql$
    SELECT r.connection_id, r.id, r.deleted_at IS NULL AS is_counted, r.created_at AS sent_at,
      (r.created_at AT TIME ZONE coalesce(s.time_zone, $3))::date AS sent_on, r.archived_at, c.name, c.external_id, r.project_id, r.creator_id, r.won,
      r.consulted IS TRUE AS is_consulted, r.signed IS TRUE AS is_signed, r.downloaded IS TRUE AS is_downloaded, r.interest,
      r.first_access_at, r.last_sign_in_at AS last_access_at, least(r.total_time, 1e15::bigint) AS total_time_ms, r.nb_connections::bigint AS access_count,
      r.percentage_read AS percent_read, coalesce(reporting.email_of(c.external_id), reporting.email_of(c.name)) AS email_key,
      -- A bare number may be anything: only one that says it is international is taken for a phone number.
      (SELECT reporting.phone_of(t) FROM unnest(ARRAY[c.external_id, c.name]) WITH ORDINALITY AS u(t, place)
        WHERE t ~ '^\s*(\+|00)[0-9 ()./-]+$' AND reporting.phone_of(t) IS NOT NULL ORDER BY place LIMIT 1) AS phone_key
    FROM tilkee.tokens r LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    CROSS JOIN LATERAL (SELECT CASE WHEN r.deleted_at IS NULL THEN nullif(r.name, '') END AS name,
      CASE WHEN r.deleted_at IS NULL THEN nullif(r.external_id, '') END AS external_id) c
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
BEGIN
  IF is_first THEN
    EXECUTE 'INSERT INTO reporting.visit_facts ' || visits USING since, only_connection, default_zone;
    EXECUTE format($sql$
      INSERT INTO reporting.link_facts (connection_id, id, is_counted, sent_at, sent_on, archived_at, name, external_id, project_id, creator_id, won,
        is_consulted, is_signed, is_downloaded, interest, first_access_at, last_access_at, total_time_ms, access_count, percent_read, email_key, phone_key,
        visits, visits_time_ms, visits_percent, is_signed_in_visit, first_visit_at, last_visit_at)
      SELECT n.*, coalesce(s.visits, 0), s.visits_time_ms, s.visits_percent, coalesce(s.is_signed_in_visit, false), s.first_visit_at, s.last_visit_at
      FROM (%s) n
      LEFT JOIN (
        SELECT connection_id, link_id, count(*) AS visits, sum(time_read_ms)::bigint AS visits_time_ms, max(percent_read) AS visits_percent,
          bool_or(is_signed) AS is_signed_in_visit, min(visited_at) AS first_visit_at, max(visited_at) AS last_visit_at
        FROM reporting.visit_facts WHERE is_counted AND link_id IS NOT NULL GROUP BY 1, 2
      ) s ON s.connection_id = n.connection_id AND s.link_id = n.id
    $sql$, links) USING since, only_connection, default_zone;
    ANALYZE reporting.link_facts;
    RETURN;
  END IF;
  IF is_full THEN
    DELETE FROM reporting.visit_facts f WHERE NOT EXISTS (SELECT FROM tilkee.connexions r WHERE r.connection_id = f.connection_id AND r.id = f.id);
    DELETE FROM reporting.link_facts f WHERE NOT EXISTS (SELECT FROM tilkee.tokens r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      %s
    ), changed AS MATERIALIZED (
      SELECT n.*, f.link_id AS old_link_id FROM incoming n LEFT JOIN reporting.visit_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.*) IS DISTINCT FROM ROW(n.*)
    ), noted AS (
      INSERT INTO reporting.touched SELECT DISTINCT 'visit', c.connection_id, m.link_id FROM changed c
      CROSS JOIN LATERAL (VALUES (c.link_id), (c.old_link_id)) AS m(link_id) WHERE m.link_id IS NOT NULL AND NOT $4
    )
    INSERT INTO reporting.visit_facts
    SELECT connection_id, id, link_id, is_counted, visited_at, visited_on, time_read_ms, percent_read, is_signed FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET link_id = excluded.link_id, is_counted = excluded.is_counted, visited_at = excluded.visited_at,
      visited_on = excluded.visited_on, time_read_ms = excluded.time_read_ms, percent_read = excluded.percent_read, is_signed = excluded.is_signed
  $sql$, visits) USING since, only_connection, default_zone, is_full;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      %s
    ), changed AS MATERIALIZED (
      SELECT n.*, f.person_key AS old_person_key FROM incoming n
      LEFT JOIN reporting.link_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.connection_id, f.id, f.is_counted, f.sent_at, f.sent_on, f.archived_at, f.name, f.external_id, f.project_id, f.creator_id,
        f.won, f.is_consulted, f.is_signed, f.is_downloaded, f.interest, f.first_access_at, f.last_access_at, f.total_time_ms, f.access_count,
        f.percent_read, f.email_key, f.phone_key) IS DISTINCT FROM ROW(n.*)
    ), noted AS (
      INSERT INTO reporting.touched SELECT m.* FROM changed c CROSS JOIN LATERAL (VALUES ('link', c.connection_id, c.id), ('visit', c.connection_id, c.id),
        ('person', '', c.old_person_key)) AS m(kind, connection_id, value) WHERE m.value IS NOT NULL AND NOT $4
    )
    INSERT INTO reporting.link_facts (connection_id, id, is_counted, sent_at, sent_on, archived_at, name, external_id, project_id, creator_id, won,
      is_consulted, is_signed, is_downloaded, interest, first_access_at, last_access_at, total_time_ms, access_count, percent_read, email_key, phone_key)
    SELECT connection_id, id, is_counted, sent_at, sent_on, archived_at, name, external_id, project_id, creator_id, won,
      is_consulted, is_signed, is_downloaded, interest, first_access_at, last_access_at, total_time_ms, access_count, percent_read, email_key, phone_key
    FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET is_counted = excluded.is_counted, sent_at = excluded.sent_at, sent_on = excluded.sent_on,
      archived_at = excluded.archived_at, name = excluded.name, external_id = excluded.external_id, project_id = excluded.project_id,
      creator_id = excluded.creator_id, won = excluded.won, is_consulted = excluded.is_consulted, is_signed = excluded.is_signed,
      is_downloaded = excluded.is_downloaded, interest = excluded.interest, first_access_at = excluded.first_access_at,
      last_access_at = excluded.last_access_at, total_time_ms = excluded.total_time_ms, access_count = excluded.access_count,
      percent_read = excluded.percent_read, email_key = excluded.email_key, phone_key = excluded.phone_key
  $sql$, links) USING since, only_connection, default_zone, is_full;
  WITH wanted AS (
    SELECT connection_id, id FROM reporting.link_facts WHERE is_full
    UNION
    SELECT connection_id, value FROM reporting.touched WHERE kind = 'visit' AND NOT is_full
  ), sums AS (
    SELECT w.connection_id, w.id, count(v.id) AS visits, sum(v.time_read_ms)::bigint AS visits_time_ms, max(v.percent_read) AS visits_percent,
      coalesce(bool_or(v.is_signed), false) AS is_signed_in_visit, min(v.visited_at) AS first_visit_at, max(v.visited_at) AS last_visit_at
    FROM wanted w LEFT JOIN reporting.visit_facts v ON v.connection_id = w.connection_id AND v.link_id = w.id AND v.is_counted
    GROUP BY 1, 2
  ), written AS (
    UPDATE reporting.link_facts l SET visits = s.visits, visits_time_ms = s.visits_time_ms, visits_percent = s.visits_percent,
      is_signed_in_visit = s.is_signed_in_visit, first_visit_at = s.first_visit_at, last_visit_at = s.last_visit_at
    FROM sums s
    WHERE l.connection_id = s.connection_id AND l.id = s.id
      AND ROW(l.visits, l.visits_time_ms, l.visits_percent, l.is_signed_in_visit, l.first_visit_at, l.last_visit_at)
        IS DISTINCT FROM ROW(s.visits, s.visits_time_ms, s.visits_percent, s.is_signed_in_visit, s.first_visit_at, s.last_visit_at)
    RETURNING l.person_key
  )
  INSERT INTO reporting.touched SELECT 'person', '', person_key FROM written WHERE person_key IS NOT NULL AND NOT is_full;
  IF is_full THEN ANALYZE reporting.link_facts; END IF;
END
$$;

CREATE OR REPLACE FUNCTION "reporting"."refresh_people"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Leads with a phone number and no address: their key depends on the others with that number.
  WITH wanted AS MATERIALIZED (
    SELECT l.connection_id, l.id, l.external_id, l.phone_key, l.person_key FROM reporting.lead_facts l
    WHERE is_full AND l.email_key IS NULL AND l.phone_key IS NOT NULL
    UNION ALL
    SELECT l.connection_id, l.id, l.external_id, l.phone_key, l.person_key
    FROM (SELECT DISTINCT value FROM reporting.touched WHERE kind = 'phone') t JOIN reporting.lead_facts l ON l.phone_key = t.value
    WHERE NOT is_full AND l.email_key IS NULL
  ), addresses AS MATERIALIZED (
    SELECT e.phone_key, CASE WHEN min(e.email_key) = max(e.email_key) THEN min(e.email_key) END AS email_key
    FROM (SELECT DISTINCT phone_key FROM wanted) w
    JOIN reporting.lead_facts e ON e.phone_key = w.phone_key AND e.is_counted AND e.email_key IS NOT NULL
    GROUP BY 1
  ), decided AS (
    SELECT w.*, coalesce('email:' || a.email_key, 'phone:' || w.phone_key) AS new_key FROM wanted w LEFT JOIN addresses a ON a.phone_key = w.phone_key
  ), noted AS (
    INSERT INTO reporting.touched SELECT n.kind, '', n.value FROM decided d CROSS JOIN LATERAL (VALUES ('person', d.new_key), ('person', d.person_key),
      ('external', CASE WHEN d.new_key IS DISTINCT FROM d.person_key THEN d.id END),
      ('external', CASE WHEN d.new_key IS DISTINCT FROM d.person_key THEN d.external_id END)) AS n(kind, value)
    WHERE n.value IS NOT NULL AND NOT is_full
  )
  UPDATE reporting.lead_facts l SET person_key = d.new_key, matched_by = 'phone' FROM decided d
  WHERE l.connection_id = d.connection_id AND l.id = d.id AND ROW(l.person_key, l.matched_by) IS DISTINCT FROM ROW(d.new_key, 'phone');

  WITH wanted AS MATERIALIZED (
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k WHERE is_full
    UNION ALL (
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'link' AND k.connection_id = t.connection_id AND k.id = t.value WHERE NOT is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'external' AND k.external_id = t.value WHERE NOT is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'phone' AND k.phone_key = t.value WHERE NOT is_full)
  ), named AS MATERIALIZED (
    SELECT DISTINCT ON (external_id) external_id, person_key FROM (
      SELECT w.external_id, l.person_key, l.created_at, l.connection_id, l.id FROM (SELECT DISTINCT external_id FROM wanted) w
      JOIN reporting.lead_facts l ON l.id = w.external_id WHERE l.is_counted
      UNION ALL
      SELECT w.external_id, l.person_key, l.created_at, l.connection_id, l.id FROM (SELECT DISTINCT external_id FROM wanted) w
      JOIN reporting.lead_facts l ON l.external_id = w.external_id WHERE l.is_counted
    ) n ORDER BY external_id, created_at DESC NULLS LAST, id DESC, connection_id
  ), addresses AS MATERIALIZED (
    SELECT e.phone_key, CASE WHEN min(e.email_key) = max(e.email_key) THEN min(e.email_key) END AS email_key
    FROM (SELECT DISTINCT phone_key FROM wanted WHERE phone_key IS NOT NULL) w
    JOIN reporting.lead_facts e ON e.phone_key = w.phone_key AND e.is_counted AND e.email_key IS NOT NULL
    GROUP BY 1
  ), decided AS (
    SELECT w.connection_id, w.id, w.person_key,
      CASE WHEN NOT w.is_counted THEN NULL
        ELSE coalesce(n.person_key, 'email:' || w.email_key, 'email:' || a.email_key, 'phone:' || w.phone_key,
          'link:' || w.connection_id || ':' || w.id) END AS new_key,
      CASE WHEN NOT w.is_counted THEN NULL WHEN n.person_key IS NOT NULL THEN 'external_id' WHEN w.email_key IS NOT NULL THEN 'email'
        WHEN w.phone_key IS NOT NULL THEN 'phone' END AS new_rule
    FROM wanted w LEFT JOIN named n ON n.external_id = w.external_id LEFT JOIN addresses a ON a.phone_key = w.phone_key
  ), noted AS (
    INSERT INTO reporting.touched SELECT 'person', '', m.value FROM decided d CROSS JOIN LATERAL (VALUES (d.new_key), (d.person_key)) AS m(value)
    WHERE m.value IS NOT NULL AND NOT is_full
    UNION ALL
    SELECT 'person', '', k.person_key FROM reporting.touched t JOIN reporting.link_facts k ON k.connection_id = t.connection_id AND k.project_id = t.value
    WHERE t.kind = 'project' AND k.person_key IS NOT NULL AND NOT is_full
  )
  UPDATE reporting.link_facts k SET person_key = d.new_key, matched_by = d.new_rule FROM decided d
  WHERE k.connection_id = d.connection_id AND k.id = d.id AND ROW(k.person_key, k.matched_by) IS DISTINCT FROM ROW(d.new_key, d.new_rule);

  EXECUTE format($sql$
  WITH keys AS MATERIALIZED (
    %1$s
  ), l AS MATERIALIZED (
    SELECT f.person_key, count(*) AS leads,
      coalesce(array_agg(f.id) FILTER (WHERE f.created_at IS NOT NULL), '{}') || array_agg(f.id) FILTER (WHERE f.created_at IS NULL) AS lead_ids,
      array_agg(f.name) FILTER (WHERE f.name IS NOT NULL) AS names, array_agg(f.email_key) FILTER (WHERE f.email_key IS NOT NULL) AS emails,
      array_agg(f.phone) FILTER (WHERE f.phone_key IS NOT NULL) AS phones, array_agg(f.company) FILTER (WHERE f.company IS NOT NULL) AS companies,
      min(f.created_at) AS first_seen_at, sum(f.requests)::bigint AS requests, sum(f.open_requests)::bigint AS open_requests,
      max(f.last_chat_at) AS last_chat_at, count(*) FILTER (WHERE f.matched_by = 'email') AS by_email,
      count(*) FILTER (WHERE f.matched_by = 'phone') AS by_phone
    -- Sorted once, oldest first: an ORDER BY in each aggregate would sort for each of them and each person.
    FROM (SELECT f.* FROM %2$s WHERE f.is_counted ORDER BY f.person_key, f.created_at NULLS FIRST, f.id) f GROUP BY 1
  ), t AS MATERIALIZED (
    SELECT f.person_key, count(*) AS links,
      coalesce(array_agg(f.id) FILTER (WHERE f.sent_at IS NOT NULL), '{}') || array_agg(f.id) FILTER (WHERE f.sent_at IS NULL) AS link_ids,
      array_agg(f.name) FILTER (WHERE f.name IS NOT NULL) AS names, array_agg(f.email_key) FILTER (WHERE f.email_key IS NOT NULL) AS emails,
      array_agg(f.phone_key) FILTER (WHERE f.phone_key IS NOT NULL) AS phones,
      min(f.sent_at) AS first_seen_at, sum(greatest(f.access_count, f.visits, 0))::bigint AS visits,
      max(greatest(f.last_access_at, f.last_visit_at)) AS last_visit_at, sum(greatest(f.total_time_ms, f.visits_time_ms, 0))::bigint AS time_read_ms,
      max(greatest(f.percent_read, f.visits_percent)) AS percent_read, max(f.interest) AS interest,
      bool_or(f.is_signed OR f.is_signed_in_visit) AS is_signed,
      bool_or(CASE WHEN f.won IN ('won', 'lost') THEN f.won ELSE f.verdict END = 'won') AS is_won,
      bool_or(CASE WHEN f.won IN ('won', 'lost') THEN f.won ELSE f.verdict END = 'lost') AS is_lost,
      array_agg(DISTINCT f.matched_by) FILTER (WHERE f.matched_by IS NOT NULL) AS rules
    FROM (SELECT f.*, p.verdict FROM %3$s
      LEFT JOIN reporting.names p ON p.kind = 'project' AND p.connection_id = f.connection_id AND p.id = f.project_id
      WHERE f.is_counted ORDER BY f.person_key, f.sent_at NULLS FIRST, f.id) f
    GROUP BY 1
  ), known AS MATERIALIZED (
    SELECT coalesce(l.person_key, t.person_key) AS person_key, coalesce(l.names[cardinality(l.names)], t.names[cardinality(t.names)]) AS name,
      coalesce(l.emails[cardinality(l.emails)], t.emails[cardinality(t.emails)]) AS email,
      coalesce(l.phones[cardinality(l.phones)], '+' || t.phones[cardinality(t.phones)]) AS phone, l.companies[cardinality(l.companies)] AS company,
      CASE WHEN coalesce(l.leads, 0) + coalesce(t.links, 0) > 1 THEN nullif(ARRAY(
        SELECT unnest(t.rules) UNION SELECT 'email' WHERE l.by_email > 1 UNION SELECT 'phone' WHERE l.leads > 1 AND l.by_phone > 0 ORDER BY 1), '{}')
      END AS matched_by,
      coalesce(l.leads, 0) AS leads, coalesce(t.links, 0) AS links, coalesce(l.lead_ids, '{}') AS lead_ids, coalesce(t.link_ids, '{}') AS link_ids,
      least(l.first_seen_at, t.first_seen_at) AS first_seen_at, coalesce(l.requests, 0) AS requests, coalesce(l.open_requests, 0) AS open_requests,
      l.last_chat_at, coalesce(t.visits, 0) AS visits, t.last_visit_at, coalesce(t.time_read_ms, 0) AS time_read_ms, t.percent_read, t.interest,
      CASE WHEN t.is_signed THEN 'signed' WHEN t.is_won THEN 'won' WHEN t.is_lost THEN 'lost' END AS outcome
    FROM l FULL JOIN t ON t.person_key = l.person_key
    -- Who is one lead and no more is read from lead_facts.
    WHERE l.leads > 1 OR t.links > 0
  ), gone AS (
    DELETE FROM reporting.people p %4$s NOT EXISTS (SELECT FROM known n WHERE n.person_key = p.person_key)
  ), changed AS (
    UPDATE reporting.people p SET
      name = n.name, email = n.email, phone = n.phone, company = n.company, matched_by = n.matched_by, leads = n.leads, links = n.links,
      lead_ids = n.lead_ids, link_ids = n.link_ids, first_seen_at = n.first_seen_at, requests = n.requests, open_requests = n.open_requests,
      last_chat_at = n.last_chat_at, visits = n.visits, last_visit_at = n.last_visit_at, time_read_ms = n.time_read_ms, percent_read = n.percent_read,
      interest = n.interest, outcome = n.outcome
    FROM known n WHERE md5(p.person_key) = md5(n.person_key) AND to_jsonb(p) - 'row_id' IS DISTINCT FROM to_jsonb(n)
  )
  -- No other refresh runs now: who is not there yet does not come meanwhile.
  INSERT INTO reporting.people SELECT n.* FROM known n WHERE NOT EXISTS (SELECT FROM reporting.people p WHERE md5(p.person_key) = md5(n.person_key))
  $sql$,
  CASE WHEN is_full THEN
      'SELECT person_key FROM reporting.lead_facts WHERE is_counted GROUP BY 1 HAVING count(*) > 1
      UNION SELECT person_key FROM reporting.link_facts WHERE is_counted'
    ELSE $sql$SELECT DISTINCT value AS person_key, md5(value) AS digest, substring(value FROM '^email:(.*)') AS email_key
      FROM reporting.touched WHERE kind = 'person'$sql$ END,
  CASE WHEN is_full THEN 'keys k JOIN reporting.lead_facts f ON f.person_key = k.person_key'
    ELSE '(SELECT f.* FROM keys k JOIN reporting.lead_facts f ON f.email_key = k.email_key UNION ALL
      SELECT f.* FROM keys k JOIN reporting.lead_facts f ON f.person_key = k.person_key AND f.email_key IS NULL) f' END,
  CASE WHEN is_full THEN 'reporting.link_facts f' ELSE 'keys k JOIN reporting.link_facts f ON f.person_key = k.person_key' END,
  CASE WHEN is_full THEN 'WHERE' ELSE 'USING keys k WHERE md5(p.person_key) = k.digest AND' END);
  IF is_full THEN ANALYZE reporting.people; END IF;
END
$$;


CREATE FUNCTION "reporting"."is_mostly_new"(mirrored regclass, facts regclass, since timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  few CONSTANT bigint := 1000 + (SELECT greatest(reltuples, 0) / 4 FROM pg_class WHERE oid = facts);
  written bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM %s WHERE synced_at >= $1 LIMIT $2 + 1) r', mirrored) INTO written USING since, few;
  RETURN written > few;
END
$$;
COMMENT ON FUNCTION "reporting"."is_mostly_new"(regclass, regclass, timestamptz) IS 'Part of the refresh: so much was written since the last one that reading all rows costs less than noting what changed';

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
  END LOOP;
  DELETE FROM reporting.applied_zones a WHERE NOT EXISTS (SELECT FROM reporting.settings s WHERE s.connection_id = a.connection_id);
  INSERT INTO reporting.applied_zones SELECT connection_id, time_zone FROM reporting.settings WHERE connection_id <> '*'
  UNION ALL SELECT '*', default_zone
  ON CONFLICT (connection_id) DO UPDATE SET time_zone = excluded.time_zone;

  PERFORM reporting.refresh_names(CASE WHEN is_full THEN '-infinity' ELSE last.read_from END);
  PERFORM reporting.refresh_requests(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_leads(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_links(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_people(is_full);
  PERFORM reporting.make_indexes('reporting.lead_facts');
  PERFORM reporting.make_indexes('reporting.visit_facts');
  PERFORM reporting.make_indexes('reporting.link_facts');
  PERFORM reporting.refresh_responses(is_full);

  -- What a full one notes is as large as the mirror: nothing of it is left lying about.
  IF is_full THEN TRUNCATE reporting.touched; ELSE DELETE FROM reporting.touched; END IF;
  UPDATE reporting.refreshes SET read_from = horizon, refreshed_at = began, rebuilt_at = CASE WHEN is_full THEN began ELSE rebuilt_at END,
    took_ms = extract(epoch FROM clock_timestamp() - began) * 1000;
  RETURN CASE WHEN is_full THEN 'rebuilt' ELSE 'refreshed' END;
END
$$;


CREATE OR REPLACE VIEW "reporting"."lead_360" AS
SELECT p.person_key, p.name, p.email, p.phone, p.company, p.matched_by, p.leads, p.links, p.lead_ids, p.link_ids, p.first_seen_at,
  p.requests, p.open_requests, p.last_chat_at, p.visits, p.last_visit_at, p.time_read_ms / 1000.0 AS time_read_seconds, p.percent_read, p.interest,
  p.outcome, s.as_of
FROM (
  SELECT person_key, name, email, phone, company, matched_by, leads, links, lead_ids, link_ids, first_seen_at, requests, open_requests, last_chat_at,
    visits, last_visit_at, time_read_ms, percent_read, interest, outcome
  FROM "reporting"."people"
  UNION ALL
  SELECT f.person_key, f.name, f.email_key, CASE WHEN f.phone_key IS NOT NULL THEN f.phone END, f.company, NULL, 1, 0, ARRAY[f.id], '{}', f.created_at,
    f.requests, f.open_requests, f.last_chat_at, 0, NULL, 0, NULL, NULL, NULL
  FROM "reporting"."lead_facts" f
  WHERE f.is_counted AND NOT EXISTS (SELECT FROM "reporting"."people" p WHERE md5(p.person_key) = md5(f.person_key))
) p
CROSS JOIN (
  SELECT CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of FROM "reporting"."sources"
  WHERE is_enabled AND stream IN ('tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens', 'tilkee.connexions', 'tilkee.projects')
) s;
DELETE FROM "reporting"."people" WHERE "leads" = 1 AND "links" = 0;
COMMENT ON TABLE "reporting"."people" IS 'One row per person of several leads or links; read by lead_360, which explains the columns and adds those of one lead alone';
