-- Consumers of the feed belong to one database. In one that was restored from a backup or copied, the numbers go on from an older state: what a consumer
-- acknowledged is not what they stand for, and what it read may never have been.
CREATE FUNCTION "sync"."feed_home"() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  own text := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
  RETURN (SELECT concat_ws('/', own, s.system_identifier, c.timeline_id) FROM pg_control_system() s, pg_control_checkpoint() c);
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
  RETURN own;
END
$$;
COMMENT ON FUNCTION "sync"."feed_home"() IS 'Database, server and timeline: another one after a restore, a copy or a failover';

ALTER TABLE "sync"."consumers" ADD COLUMN "home" TEXT NOT NULL DEFAULT '';
UPDATE "sync"."consumers" SET "home" = "sync"."feed_home"();
ALTER TABLE "sync"."consumers" ALTER COLUMN "home" DROP DEFAULT;
COMMENT ON COLUMN "sync"."consumers"."home" IS 'sync.feed_home() when it was registered: in another database it has to read all rows again';

CREATE OR REPLACE FUNCTION "sync"."read_changes"(consumer text, max integer, behind bigint DEFAULT NULL)
RETURNS TABLE (cursor bigint, stream text, connection_id text, id text, op "char", changed text[], seen_at timestamptz, run_id bigint) LANGUAGE plpgsql AS $$
DECLARE
  start bigint := (SELECT coalesce(behind, c.seq) FROM sync.consumers c WHERE c.name = consumer);
  settled bigint;
BEGIN
  IF start IS NULL THEN
    RAISE EXCEPTION 'There is no consumer of this name; sync.ack_changes(name, null) registers one' USING ERRCODE = 'LM002';
  END IF;
  PERFORM sync.check_consumer(consumer, start);
  IF to_regclass('sync.changes') IS NULL THEN RETURN; END IF;
  settled := sync.settled_changes();
  IF start < (SELECT f.dropped_seq FROM sync.feed f ORDER BY f.dropped_seq DESC NULLS LAST LIMIT 1) THEN
    RAISE EXCEPTION 'The consumer is behind what is kept; read all rows again, then register it anew' USING ERRCODE = 'LM001';
  END IF;
  RETURN QUERY EXECUTE $sql$
    SELECT c.seq, c.stream, c.connection_id, c.id, c.op, c.changed, c.seen_at, c.run_id FROM sync.changes c
    WHERE c.seq > $1 AND c.seq <= $2 ORDER BY c.seq LIMIT $3 $sql$ USING start, settled, max;
END
$$;

CREATE FUNCTION "sync"."check_consumer"(consumer text, cursor bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  last bigint := 0;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'The feed is read on the primary server: a standby does not know which transactions are open';
  END IF;
  IF to_regclass('sync.changes_seq') IS NOT NULL THEN SELECT last_value INTO last FROM sync.changes_seq; END IF;
  IF cursor > last OR (SELECT c.home FROM sync.consumers c WHERE c.name = consumer) <> sync.feed_home() THEN
    RAISE EXCEPTION 'The database was restored or copied since the consumer read; register it anew, then read all rows again' USING ERRCODE = 'LM003';
  END IF;
END
$$;
COMMENT ON FUNCTION "sync"."check_consumer"(text, bigint) IS 'Fails where the consumer, or its cursor, is of another state of the database';

CREATE OR REPLACE FUNCTION "sync"."ack_changes"(consumer text, cursor bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  -- A new one reads what is written from now on, the transactions included that are open now.
  IF NOT exists (SELECT FROM sync.consumers c WHERE c.name = consumer) THEN
    INSERT INTO sync.consumers (name, seq, home)
    VALUES (consumer, CASE WHEN to_regclass('sync.changes') IS NULL THEN 0 ELSE sync.settled_changes() END, sync.feed_home()) ON CONFLICT DO NOTHING;
  END IF;
  PERFORM sync.check_consumer(consumer, cursor);
  UPDATE sync.consumers c SET seq = cursor, acked_at = clock_timestamp() WHERE c.name = consumer AND c.seq < cursor;
  RETURN (SELECT c.seq FROM sync.consumers c WHERE c.name = consumer);
END
$$;
