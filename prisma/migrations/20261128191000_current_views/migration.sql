-- A view of each mirrored table that shows only the rows that are there: not what is gone upstream, and not what is left of an erased person. With it the
-- names of status codes, and the names of agents in the reporting view of requests.

CREATE FUNCTION "reporting"."status_name"(stream text, status integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE stream
    WHEN 'tiledesk.requests' THEN CASE status WHEN 50 THEN 'temporary' WHEN 100 THEN 'unassigned' WHEN 150 THEN 'abandoned' WHEN 200 THEN 'assigned'
      WHEN 1000 THEN 'closed' ELSE status::text END
    WHEN 'tiledesk.leads' THEN CASE status WHEN 50 THEN 'temporary' WHEN 100 THEN 'normal' WHEN 1000 THEN 'deleted' ELSE status::text END
    WHEN 'tiledesk.departments' THEN CASE status WHEN 0 THEN 'hidden' WHEN 1 THEN 'visible' ELSE status::text END
    WHEN 'tiledesk.messages' THEN CASE status WHEN -100 THEN 'failed' WHEN 0 THEN 'sending' WHEN 100 THEN 'sent' WHEN 150 THEN 'delivered'
      WHEN 200 THEN 'received' WHEN 250 THEN 'return receipt' WHEN 300 THEN 'seen' ELSE status::text END
  END
$$;
COMMENT ON FUNCTION "reporting"."status_name"(text, integer) IS 'The name of a status code of a stream; of a code that Tiledesk does not define, the number';

-- A view runs with the rights of its owner, so that it would show rows that row-level security hides from the reader. From Postgres 15 on it runs with those
-- of the reader; before, it shows nothing to a reader who may not read the whole table. Postgres asks that once a query, before it reads a row.
CREATE FUNCTION "sync"."make_current_view"(in_schema text, in_table text,
  has_invoker boolean DEFAULT current_setting('server_version_num')::int >= 150000) RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
  source CONSTANT text := format('%I.%I', in_schema, in_table);
  target CONSTANT text := format('%I.%I', in_schema, in_table || '_current');
  stream CONSTANT text := in_schema || '.' || in_table;
  mark CONSTANT text := 'Rows of ' || stream || ' that are there: not deleted upstream, no person of them erased. Columns as in the table';
  has_names CONSTANT boolean := stream IN ('tiledesk.requests', 'tiledesk.leads', 'tiledesk.departments', 'tiledesk.messages');
  definition text;
  one record;
BEGIN
  -- What another program made under that name stays. Who may not create has no view, and needs none to mirror.
  IF to_regclass(target) IS NOT NULL AND obj_description(to_regclass(target), 'pg_class') IS DISTINCT FROM mark
    OR NOT has_schema_privilege(in_schema, 'CREATE') THEN RETURN; END IF;
  -- In the order of the table, so that a column that a later version adds comes last, and the view can be replaced.
  SELECT format('VIEW %s%s AS SELECT %s FROM %s t WHERE t.deleted_at IS NULL AND t.erased_at IS NULL%s', target,
      CASE WHEN has_invoker THEN ' WITH (security_invoker = true)' ELSE '' END,
      string_agg(format('t.%I', a.attname) || CASE WHEN has_names AND a.attname = 'status'
        THEN format(', reporting.status_name(%L, t.status) AS status_name', stream) ELSE '' END, ', ' ORDER BY a.attnum), source,
      CASE WHEN has_invoker THEN '' ELSE format(' AND has_table_privilege(%1$L, ''SELECT'') AND NOT row_security_active(%1$L)', source) END)
    INTO definition
  FROM pg_attribute a
  WHERE a.attrelid = source::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('deleted_at', 'erased_at');
  BEGIN
    EXECUTE 'CREATE OR REPLACE ' || definition;
  EXCEPTION WHEN invalid_table_definition THEN
    -- A column has another name now.
    EXECUTE format('DROP VIEW %s', target);
    EXECUTE 'CREATE ' || definition;
  END;
  EXECUTE format('COMMENT ON VIEW %s IS %L', target, mark);
  FOR one IN SELECT a.attname AS name, CASE a.attname WHEN 'status_name' THEN 'Name of the status'
      ELSE col_description(source::regclass, o.attnum) END AS text
    FROM pg_attribute a LEFT JOIN pg_attribute o ON o.attrelid = source::regclass AND o.attname = a.attname
    WHERE a.attrelid = target::regclass AND a.attnum > 0 AND NOT a.attisdropped
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target, one.name, one.text);
  END LOOP;
END
$make$;
COMMENT ON FUNCTION "sync"."make_current_view"(text, text, boolean) IS 'Makes the view <table>_current of a mirrored table, or brings it to its columns';

CREATE FUNCTION "sync"."make_current_views"() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM sync.make_current_view(n.nspname::text, c.relname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('tiledesk', 'tilkee') AND c.relkind = 'r' AND (SELECT count(*) = 3 FROM pg_attribute a
    WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN ('content_hash', 'deleted_at', 'erased_at'));
END
$$;
COMMENT ON FUNCTION "sync"."make_current_views"() IS 'Makes the views of all built-in mirrored tables; at the end of each migration. One that drops or changes a column drops its view first';

CREATE OR REPLACE VIEW "reporting"."requests" AS
SELECT f.connection_id, f.id, f.status, f.opened_at, f.opened_on, f.opened_hour, f.first_response_at, f.closed_at, f.closed_on, f.is_open, f.is_answered,
  f.first_response_ms / 1000.0::double precision AS first_response_seconds, f.resolution_ms / 1000.0::double precision AS resolution_seconds, f.rating,
  f.channel, f.department_id, n.name AS department, f.lead_id, f.agent_ids, f.closer_id, s.as_of,
  reporting.status_name('tiledesk.requests', f.status) AS status_name,
  ARRAY(SELECT coalesce(a.name, i.id) FROM unnest(f.agent_ids) i (id)
    LEFT JOIN reporting.names a ON a.kind = 'agent' AND a.connection_id = f.connection_id AND a.id = i.id ORDER BY 1) AS agents,
  (SELECT c.name FROM reporting.names c WHERE c.kind = 'agent' AND c.connection_id = f.connection_id AND c.id = f.closer_id) AS closer
FROM "reporting"."request_facts" f
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = f.connection_id AND n.id = f.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = f.connection_id AND s.stream = 'tiledesk.requests'
WHERE f.is_counted;
COMMENT ON COLUMN "reporting"."requests"."status_name" IS 'Name of the status: unassigned, abandoned, assigned, closed';
COMMENT ON COLUMN "reporting"."requests"."agents" IS 'Names of the people who take part: first and last name, else the e-mail address, else the user id';
COMMENT ON COLUMN "reporting"."requests"."closer" IS 'Name of the person who closed it';

CREATE OR REPLACE VIEW "reporting"."open_backlog" AS
SELECT b.connection_id, b.department_id, n.name AS department, b.channel, b.status, b.open, b.unanswered, b.oldest_opened_at,
  b.under_1_hour, b.under_1_day, b.under_7_days, b.older, s.as_of, reporting.status_name('tiledesk.requests', b.status) AS status_name
FROM (
  SELECT connection_id, department_id, channel, status, count(*) AS open, count(*) FILTER (WHERE NOT is_answered) AS unanswered,
    min(opened_at) AS oldest_opened_at, count(*) FILTER (WHERE opened_at > now() - interval '1 hour') AS under_1_hour,
    count(*) FILTER (WHERE opened_at <= now() - interval '1 hour' AND opened_at > now() - interval '24 hours') AS under_1_day,
    count(*) FILTER (WHERE opened_at <= now() - interval '24 hours' AND opened_at > now() - interval '168 hours') AS under_7_days,
    count(*) FILTER (WHERE opened_at <= now() - interval '168 hours') AS older
  FROM "reporting"."request_facts" WHERE is_open GROUP BY 1, 2, 3, 4
) b
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = b.connection_id AND n.id = b.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = b.connection_id AND s.stream = 'tiledesk.requests';
COMMENT ON COLUMN "reporting"."open_backlog"."status_name" IS 'Name of the status: unassigned, assigned';
