-- A first computation reads each lead's address and number once.

CREATE OR REPLACE FUNCTION "reporting"."refresh_leads"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  -- OFFSET 0: a key is computed once, however often it is used.
  incoming CONSTANT text := format($sql$
    SELECT k.*,
      -- What a key of a phone number leads to depends on other rows: refresh_people decides.
      CASE WHEN NOT k.is_counted THEN NULL WHEN k.email_key IS NOT NULL THEN 'email:' || k.email_key
        WHEN k.phone_key IS NULL THEN 'lead:' || k.connection_id || ':' || k.id END AS person_key,
      CASE WHEN k.email_key IS NOT NULL THEN 'email' END AS matched_by
    FROM (
      SELECT r.connection_id, r.id, c.is_counted, (r.created_at AT TIME ZONE coalesce(s.time_zone, $3))::date AS created_on, r.created_at,
        CASE WHEN c.is_counted THEN nullif(r.lead_id, '') END AS external_id,
        CASE WHEN c.is_counted THEN reporting.email_of(r.email) END AS email_key,
        CASE WHEN c.is_counted THEN reporting.phone_of(r.phone) END AS phone_key,
        CASE WHEN c.is_counted THEN nullif(r.fullname, '') END AS name,
        CASE WHEN c.is_counted THEN nullif(r.phone, '') END AS phone,
        CASE WHEN c.is_counted THEN nullif(r.company, '') END AS company
      FROM tiledesk.leads r
      LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
      CROSS JOIN LATERAL (SELECT r.deleted_at IS NULL AND r.status IS DISTINCT FROM 50 AND r.status IS DISTINCT FROM 1000 AS is_counted) c
      WHERE %s
      OFFSET 0
    ) k
  $sql$, reporting.scope_of(only_connection, is_full));
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
      'SELECT person_key FROM reporting.lead_facts WHERE is_counted AND matched_by IS NOT NULL GROUP BY 1 HAVING count(*) > 1
      UNION SELECT person_key FROM reporting.link_facts WHERE is_counted'
    ELSE $sql$SELECT DISTINCT value AS person_key, md5(value) AS digest, substring(value FROM '^email:(.*)') AS email_key
      FROM reporting.touched WHERE kind = 'person'$sql$ END,
  CASE WHEN is_full THEN '(SELECT * FROM reporting.lead_facts WHERE person_key IN (SELECT person_key FROM keys)) f'
    ELSE '(SELECT f.* FROM keys k JOIN reporting.lead_facts f ON f.email_key = k.email_key UNION ALL
      SELECT f.* FROM keys k JOIN reporting.lead_facts f ON f.person_key = k.person_key AND f.email_key IS NULL) f' END,
  CASE WHEN is_full THEN 'reporting.link_facts f' ELSE 'keys k JOIN reporting.link_facts f ON f.person_key = k.person_key' END,
  CASE WHEN is_full THEN 'WHERE' ELSE 'USING keys k WHERE md5(p.person_key) = k.digest AND' END);
  IF is_full THEN ANALYZE reporting.people; END IF;
END
$$;
