-- A first computation fills tables that have no index but their primary key, without which logical replication publishes no change of them: to build an index
-- from rows that are there costs a fifth of adding to it row by row, and no reader waits for it.
CREATE OR REPLACE FUNCTION "reporting"."make_indexes"(facts regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  missing record;
  is_filled boolean;
BEGIN
  FOR missing IN
    SELECT is_key, name, definition FROM (VALUES
      ('reporting.people', true, 'people_person_key_idx', 'reporting.people (md5(person_key))'),
      ('reporting.people', false, 'people_email_idx', 'reporting.people (email)'),
      ('reporting.people', false, 'people_key_idx', 'reporting.people USING hash (person_key)'),
      ('reporting.people', false, 'people_first_seen_at_idx', 'reporting.people (first_seen_at)'),
      ('reporting.people', false, 'people_last_chat_at_idx', 'reporting.people (last_chat_at)'),
      ('reporting.people', false, 'people_last_contact_idx', 'reporting.people (greatest(last_chat_at, last_visit_at))'),
      ('reporting.people', false, 'people_of_both_idx', 'reporting.people (greatest(last_chat_at, last_visit_at))
        WHERE requests > 0 AND visits > 0'),
      ('reporting.request_facts', false, 'request_facts_opened_on_idx', 'reporting.request_facts (connection_id, opened_on)'),
      ('reporting.request_facts', false, 'request_facts_lead_id_idx', 'reporting.request_facts (lead_id, connection_id)'),
      ('reporting.request_facts', false, 'request_facts_open_idx', 'reporting.request_facts (connection_id, department_id, channel, status)
        INCLUDE (is_answered, opened_at) WHERE is_open'),
      ('reporting.request_facts', false, 'request_facts_unanswered_idx', 'reporting.request_facts (opened_at) WHERE is_open AND NOT is_answered'),
      ('reporting.lead_facts', false, 'lead_facts_created_at_idx', 'reporting.lead_facts (created_at)'),
      ('reporting.lead_facts', false, 'lead_facts_last_chat_at_idx', 'reporting.lead_facts (last_chat_at)'),
      -- The key of a lead with an address is that address: the first finds by both, the third the other leads.
      ('reporting.lead_facts', false, 'lead_facts_email_key_idx', 'reporting.lead_facts (email_key) WHERE email_key IS NOT NULL'),
      ('reporting.lead_facts', false, 'lead_facts_phone_key_idx', 'reporting.lead_facts (phone_key) WHERE phone_key IS NOT NULL'),
      ('reporting.lead_facts', false, 'lead_facts_other_key_idx', 'reporting.lead_facts USING hash (person_key) WHERE email_key IS NULL'),
      ('reporting.visit_facts', false, 'visit_facts_link_id_idx', 'reporting.visit_facts (connection_id, link_id)'),
      ('reporting.visit_facts', false, 'visit_facts_visited_on_idx', 'reporting.visit_facts (connection_id, visited_on)'),
      ('reporting.link_facts', false, 'link_facts_project_id_idx', 'reporting.link_facts (connection_id, project_id)'),
      ('reporting.link_facts', false, 'link_facts_external_id_idx', 'reporting.link_facts USING hash (external_id)'),
      ('reporting.link_facts', false, 'link_facts_phone_key_idx', 'reporting.link_facts (phone_key)'),
      ('reporting.link_facts', false, 'link_facts_person_key_idx', 'reporting.link_facts USING hash (person_key)'),
      ('reporting.link_facts', false, 'link_facts_sent_on_idx', 'reporting.link_facts (sent_on)'),
      -- Only links look leads up by it.
      ('reporting.link_facts', false, 'lead_facts_external_id_idx', 'reporting.lead_facts USING hash (external_id)')
    ) AS i(facts, is_key, name, definition)
    WHERE i.facts::regclass = make_indexes.facts AND to_regclass('reporting.' || i.name) IS NULL
  LOOP
    IF is_filled IS NULL THEN EXECUTE format('SELECT EXISTS (SELECT FROM %s)', facts) INTO is_filled; END IF;
    IF is_filled OR missing.is_key THEN
      EXECUTE format('CREATE %s INDEX %I ON %s', CASE WHEN missing.is_key THEN 'UNIQUE' END, missing.name, missing.definition);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION "reporting"."make_indexes"(regclass) IS 'Part of the refresh: the key of a table, and its other indexes once it has got its first rows';

DROP INDEX "reporting"."people_person_key_idx", "reporting"."people_email_idx", "reporting"."people_key_idx", "reporting"."people_first_seen_at_idx",
  "reporting"."people_last_chat_at_idx", "reporting"."people_last_contact_idx", "reporting"."people_of_both_idx";
DROP INDEX IF EXISTS "reporting"."request_facts_lead_id_idx";
DO $$
DECLARE
  facts regclass;
  is_filled boolean;
BEGIN
  FOREACH facts IN ARRAY '{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[] LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', facts) INTO is_filled;
    IF is_filled THEN PERFORM reporting.make_indexes(facts); END IF;
  END LOOP;
END $$;

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
  PERFORM reporting.make_indexes(facts) FROM unnest('{reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[]) AS facts;
  PERFORM reporting.refresh_responses(is_full);

  -- What a full one notes is as large as the mirror: nothing of it is left lying about.
  IF is_full THEN TRUNCATE reporting.touched; ELSE DELETE FROM reporting.touched; END IF;
  UPDATE reporting.refreshes SET read_from = horizon, refreshed_at = began, rebuilt_at = CASE WHEN is_full THEN began ELSE rebuilt_at END,
    took_ms = extract(epoch FROM clock_timestamp() - began) * 1000;
  RETURN CASE WHEN is_full THEN 'rebuilt' ELSE 'refreshed' END;
END
$$;
