-- What the questions of a support lead and a sales lead need: indexes over few rows, and a view of each link beside the chat before it. What is left of an
-- erased person is no person.

-- Closed once and open again: a few rows.
CREATE INDEX "requests_reopened_idx" ON "tiledesk"."requests" ("closed_at")
  WHERE "closed_at" IS NOT NULL AND "status" < 1000 AND "deleted_at" IS NULL AND "erased_at" IS NULL;
CREATE INDEX "connexions_documents_idx" ON "tilkee"."connexions" ("access_date") WHERE "most_visited_id" IS NOT NULL;
CREATE INDEX "leads_erased_idx" ON "tiledesk"."leads" ("connection_id", "id") WHERE "erased_at" IS NOT NULL;
CREATE INDEX "tokens_erased_idx" ON "tilkee"."tokens" ("connection_id", "id") WHERE "erased_at" IS NOT NULL;

-- As before, with the backlog read from the index alone, and what finds the rows of a period.
CREATE OR REPLACE FUNCTION "reporting"."make_indexes"(facts regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  missing record;
  is_filled boolean;
BEGIN
  FOR missing IN
    SELECT name, definition FROM (VALUES
      ('reporting.request_facts', 'request_facts_opened_on_idx', 'reporting.request_facts (connection_id, opened_on)'),
      ('reporting.request_facts', 'request_facts_lead_id_idx', 'reporting.request_facts (connection_id, lead_id)'),
      ('reporting.request_facts', 'request_facts_open_idx', 'reporting.request_facts (connection_id, department_id, channel, status)
        INCLUDE (is_answered, opened_at) WHERE is_open'),
      ('reporting.request_facts', 'request_facts_unanswered_idx', 'reporting.request_facts (opened_at) WHERE is_open AND NOT is_answered'),
      ('reporting.lead_facts', 'lead_facts_created_at_idx', 'reporting.lead_facts (created_at)'),
      ('reporting.lead_facts', 'lead_facts_last_chat_at_idx', 'reporting.lead_facts (last_chat_at)'),
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
      ('reporting.link_facts', 'link_facts_sent_on_idx', 'reporting.link_facts (sent_on)'),
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
DROP INDEX IF EXISTS "reporting"."request_facts_open_idx";
SELECT reporting.make_indexes(facts) FROM unnest('{reporting.request_facts,reporting.lead_facts,reporting.link_facts}'::regclass[]) facts;
CREATE INDEX "people_key_idx" ON "reporting"."people" USING hash ("person_key");
CREATE INDEX "people_first_seen_at_idx" ON "reporting"."people" ("first_seen_at");
CREATE INDEX "people_last_chat_at_idx" ON "reporting"."people" ("last_chat_at");
CREATE INDEX "people_last_contact_idx" ON "reporting"."people" (greatest("last_chat_at", "last_visit_at"));
CREATE INDEX "people_of_both_idx" ON "reporting"."people" (greatest("last_chat_at", "last_visit_at")) WHERE "requests" > 0 AND "visits" > 0;

-- The names of agents are collected once for a query, not looked up for each row; where they are not asked for, they are not read.
CREATE OR REPLACE VIEW "reporting"."requests" AS
SELECT f.connection_id, f.id, f.status, f.opened_at, f.opened_on, f.opened_hour, f.first_response_at, f.closed_at, f.closed_on, f.is_open, f.is_answered,
  f.first_response_ms / 1000.0::double precision AS first_response_seconds, f.resolution_ms / 1000.0::double precision AS resolution_seconds, f.rating,
  f.channel, f.department_id, n.name AS department, f.lead_id, f.agent_ids, f.closer_id, s.as_of,
  reporting.status_name('tiledesk.requests', f.status) AS status_name,
  ARRAY(SELECT coalesce(a.names ->> i.id, i.id) FROM unnest(f.agent_ids) i (id)) AS agents, a.names ->> f.closer_id AS closer
FROM "reporting"."request_facts" f
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = f.connection_id AND n.id = f.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = f.connection_id AND s.stream = 'tiledesk.requests'
LEFT JOIN (SELECT connection_id, jsonb_object_agg(id, name) AS names FROM "reporting"."names" WHERE kind = 'agent' GROUP BY connection_id) a
  ON a.connection_id = f.connection_id
WHERE f.is_counted;

CREATE VIEW "reporting"."link_journeys" AS
SELECT k.connection_id, k.id AS link_id, k.name, k.project_id, p.name AS project, k.person_key, c.first_chat_at,
  k.sent_at, k.sent_on, least(k.first_access_at, k.first_visit_at) AS first_opened_at, v.signed_at, s.as_of
FROM "reporting"."link_facts" k
LEFT JOIN "reporting"."names" p ON p.kind = 'project' AND p.connection_id = k.connection_id AND p.id = k.project_id
LEFT JOIN LATERAL (
  -- The key of a lead with an address is that address.
  SELECT min(f.opened_at) AS first_chat_at FROM (
    SELECT l.connection_id, l.id FROM reporting.lead_facts l WHERE l.email_key = substring(k.person_key FROM '^email:(.*)') AND l.is_counted
    UNION ALL
    SELECT l.connection_id, l.id FROM reporting.lead_facts l WHERE l.person_key = k.person_key AND l.email_key IS NULL AND l.is_counted
  ) l
  JOIN reporting.request_facts f ON f.connection_id = l.connection_id AND f.lead_id = l.id AND f.is_counted
) c ON true
LEFT JOIN LATERAL (
  SELECT min(f.visited_at) AS signed_at FROM reporting.visit_facts f
  WHERE k.is_signed_in_visit AND f.connection_id = k.connection_id AND f.link_id = k.id AND f.is_counted AND f.is_signed
) v ON true
LEFT JOIN (
  SELECT connection_id, CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of
  FROM "reporting"."sources" WHERE stream IN ('tilkee.tokens', 'tilkee.connexions', 'tilkee.projects') GROUP BY 1
) s ON s.connection_id = k.connection_id
WHERE k.is_counted;
COMMENT ON VIEW "reporting"."link_journeys" IS 'One row per Tilkee link: from the first chat of its person to the first visit and the signature. Deleted links and visits are left out, archived links are in. Reads link_facts, and for each row that is shown the visits and requests of it: choose a period';
COMMENT ON COLUMN "reporting"."link_journeys"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."link_journeys"."link_id" IS 'tilkee.tokens.id';
COMMENT ON COLUMN "reporting"."link_journeys"."name" IS 'Label, normally the recipient';
COMMENT ON COLUMN "reporting"."link_journeys"."project_id" IS 'tilkee.projects.id';
COMMENT ON COLUMN "reporting"."link_journeys"."project" IS 'Its name';
COMMENT ON COLUMN "reporting"."link_journeys"."person_key" IS 'reporting.lead_360.person_key';
COMMENT ON COLUMN "reporting"."link_journeys"."first_chat_at" IS 'First request of the person that counts was opened (UTC); null: none';
COMMENT ON COLUMN "reporting"."link_journeys"."sent_at" IS 'The link was made (UTC)';
COMMENT ON COLUMN "reporting"."link_journeys"."sent_on" IS 'The day of that in the time zone of the account';
COMMENT ON COLUMN "reporting"."link_journeys"."first_opened_at" IS 'First visit (UTC)';
COMMENT ON COLUMN "reporting"."link_journeys"."signed_at" IS 'The first visit in which something was signed began (UTC); null: none is known';
COMMENT ON COLUMN "reporting"."link_journeys"."as_of" IS 'Everything of Tilkee that was upstream then is counted (UTC), the oldest of links, visits and projects; null: a first full read is not complete';

-- Both parts have the same types, so that conditions and orders reach the indexes of each.
CREATE OR REPLACE VIEW "reporting"."lead_360" AS
SELECT p.person_key, p.name, p.email, p.phone, p.company, p.matched_by, p.leads, p.links, p.lead_ids, p.link_ids, p.first_seen_at,
  p.requests, p.open_requests, p.last_chat_at, p.visits, p.last_visit_at, p.time_read_ms / 1000.0 AS time_read_seconds, p.percent_read, p.interest,
  p.outcome, s.as_of
FROM (
  SELECT person_key, name, email, phone, company, matched_by, leads, links, lead_ids, link_ids, first_seen_at, requests, open_requests, last_chat_at,
    visits, last_visit_at, time_read_ms, percent_read, interest, outcome
  FROM "reporting"."people"
  UNION ALL
  SELECT f.person_key, f.name, f.email_key, CASE WHEN f.phone_key IS NOT NULL THEN f.phone END, f.company, NULL::text[], 1::bigint, 0::bigint, ARRAY[f.id],
    '{}'::text[], f.created_at, f.requests, f.open_requests, f.last_chat_at, 0::bigint, NULL::timestamptz, 0::bigint, NULL::double precision, NULL::double precision, NULL::text
  FROM "reporting"."lead_facts" f
  WHERE f.is_counted AND NOT EXISTS (SELECT FROM "reporting"."people" p WHERE p.person_key = f.person_key)
) p
CROSS JOIN (
  SELECT CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of FROM "reporting"."sources"
  WHERE is_enabled AND stream IN ('tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens', 'tilkee.connexions', 'tilkee.projects')
) s
-- Asked only of rows that name nobody.
WHERE p.name IS NOT NULL OR p.email IS NOT NULL OR p.phone IS NOT NULL OR p.person_key NOT IN (
  SELECT 'lead:' || e.connection_id || ':' || e.id FROM tiledesk.leads e WHERE e.erased_at IS NOT NULL
  UNION ALL SELECT 'link:' || e.connection_id || ':' || e.id FROM tilkee.tokens e WHERE e.erased_at IS NOT NULL);
