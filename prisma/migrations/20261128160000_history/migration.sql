-- Which streams keep versions of their rows. Triggers, tables and views of a stream are made when it is switched on, from the columns of its table.
CREATE TABLE "sync"."history" (
  "stream" TEXT NOT NULL,
  "columns" TEXT[],
  "on_since" TIMESTAMPTZ(3) NOT NULL,
  "off_since" TIMESTAMPTZ(3),
  "definition" TEXT NOT NULL,
  "first_look_connection" TEXT NOT NULL DEFAULT '',
  "first_look_id" TEXT NOT NULL DEFAULT '',
  "first_look_ended_at" TIMESTAMPTZ(3),

  CONSTRAINT "history_pkey" PRIMARY KEY ("stream")
);
COMMENT ON TABLE "sync"."history" IS 'Streams whose versions are kept, or were: each has the tables <stream>_history and <stream>_versions. Everything that holds versions is named here.';
COMMENT ON COLUMN "sync"."history"."stream" IS 'Source and kind: tiledesk.requests; also the name of the mirrored table';
COMMENT ON COLUMN "sync"."history"."columns" IS 'Columns of which each value is kept';
COMMENT ON COLUMN "sync"."history"."on_since" IS 'Kept since then without a gap (UTC)';
COMMENT ON COLUMN "sync"."history"."off_since" IS 'Switched off then (UTC): nothing is known of what changed since; null: it is on';
COMMENT ON COLUMN "sync"."history"."definition" IS 'Digest of the triggers and views as this version of the program makes them';
COMMENT ON COLUMN "sync"."history"."first_look_connection" IS 'Up to here the first look has written the rows that had no version: sync.streams.connection_id';
COMMENT ON COLUMN "sync"."history"."first_look_id" IS 'And the id of the row';
COMMENT ON COLUMN "sync"."history"."first_look_ended_at" IS 'The first look is complete since then (UTC); null: it goes on at the next start';

CREATE VIEW "sync"."history_status" AS
SELECT h.stream, h.columns, h.on_since, h.off_since, h.first_look_ended_at, coalesce(s.versions, 0) AS versions, coalesce(s.bytes, 0) AS bytes, s.oldest
FROM "sync"."history" h
CROSS JOIN LATERAL (
  SELECT sum(greatest(c.reltuples, 0))::bigint AS versions, sum(pg_total_relation_size(c.oid))::bigint AS bytes,
    min(to_date(substring(c.relname::text FROM '_([0-9]{8})$'), 'YYYYMMDD')) FILTER (WHERE pg_relation_size(c.oid) > 0) AS oldest
  FROM pg_partition_tree(to_regclass(h.stream || '_history')) p JOIN pg_class c ON c.oid = p.relid AND p.isleaf
) s;
COMMENT ON VIEW "sync"."history_status" IS 'History by stream, as leadmirror history status shows it';
COMMENT ON COLUMN "sync"."history_status"."stream" IS 'Source and kind: tiledesk.requests';
COMMENT ON COLUMN "sync"."history_status"."columns" IS 'Columns of which each value is kept';
COMMENT ON COLUMN "sync"."history_status"."on_since" IS 'Kept since then without a gap (UTC)';
COMMENT ON COLUMN "sync"."history_status"."off_since" IS 'Switched off then (UTC): nothing is known of what changed since; null: it is on';
COMMENT ON COLUMN "sync"."history_status"."first_look_ended_at" IS 'Every row had a version from then on (UTC); null: not yet';
COMMENT ON COLUMN "sync"."history_status"."versions" IS 'About how many versions there are, as Postgres estimates';
COMMENT ON COLUMN "sync"."history_status"."bytes" IS 'What they and their indexes take';
COMMENT ON COLUMN "sync"."history_status"."oldest" IS 'First day of the oldest partition that has any';

-- Partitions by "seen_at" for this unit of time (month, week) and the two after it; older ones than "keep" are dropped. Rows that come where there is no
-- partition go to the default one and stay there. Attaching locks out no writer; where a long query keeps the lock away, the next day tries again.
CREATE FUNCTION "sync"."keep_partitions"(parent regclass, unit text, keep interval) RETURNS void LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  home CONSTANT text := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = parent);
  stem CONSTANT text := (SELECT relname FROM pg_class WHERE oid = parent);
  step CONSTANT interval := ('1 ' || unit)::interval;
  low timestamp;
  name text;
  is_taken boolean;
BEGIN
  FOR n IN 0..2 LOOP
    low := date_trunc(unit, clock_timestamp() AT TIME ZONE 'UTC') + n * step;
    name := format('%I.%I', home, stem || to_char(low, '_YYYYMMDD'));
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    EXECUTE format('SELECT exists (SELECT FROM %I.%I WHERE seen_at >= %L AND seen_at < %L)', home, stem || '_rest', low AT TIME ZONE 'UTC',
      (low + step) AT TIME ZONE 'UTC') INTO is_taken;
    CONTINUE WHEN is_taken;
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS)', name, parent);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, name, low AT TIME ZONE 'UTC', (low + step) AT TIME ZONE 'UTC');
  END LOOP;
  FOR name IN
    SELECT p.relid::regclass::text FROM pg_partition_tree(parent) p JOIN pg_class c ON c.oid = p.relid
    WHERE p.isleaf AND c.relname ~ '_[0-9]{8}$'
      AND to_date(right(c.relname, 8), 'YYYYMMDD') + step <= (clock_timestamp() - keep) AT TIME ZONE 'UTC'
  LOOP
    EXECUTE 'DROP TABLE ' || name;
  END LOOP;
  EXECUTE format('DELETE FROM %I.%I WHERE seen_at < clock_timestamp() - %L::interval', home, stem || '_rest', keep);
END
$$;
COMMENT ON FUNCTION "sync"."keep_partitions"(regclass, text, interval) IS 'Makes the partitions of the time to come, and drops those that are older than they are kept';

-- Until when the answer of <stream>_as_of is known to be complete. By "seen": as of when the mirror was at that moment, from the runs that had ended.
CREATE FUNCTION "sync"."certain_until"(connection text, stream_name text, at timestamptz, by text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN until < at THEN until WHEN until >= at THEN at END
  FROM (SELECT CASE WHEN by = 'upstream'
    THEN (SELECT s.as_of FROM sync.status s WHERE s.connection_id = connection AND s.stream = stream_name)
    ELSE (SELECT max(CASE WHEN r.pass = 'incremental' AND r.ended_at <= at THEN r.ended_at ELSE r.started_at END) FROM sync.runs r
      WHERE r.connection_id = connection AND r.stream = stream_name AND r.outcome = 'succeeded'
        AND (r.ended_at <= at OR r.idle_runs > 0 AND r.started_at < at)) END AS until) known
$$;
COMMENT ON FUNCTION "sync"."certain_until"(text, text, timestamptz, text) IS 'Changes after this moment are not known to the answer for the moment "at"; null: no complete run is known';
