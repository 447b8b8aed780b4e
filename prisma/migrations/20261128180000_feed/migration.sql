-- The feed of changes: which streams write to it, and how far each consumer has read. The table sync.changes is made when the first stream is switched on.
CREATE TABLE "sync"."feed" (
  "stream" TEXT NOT NULL,
  "on_since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "definition" TEXT NOT NULL,
  "dropped_seq" BIGINT,

  CONSTRAINT "feed_pkey" PRIMARY KEY ("stream")
);
COMMENT ON TABLE "sync"."feed" IS 'Streams whose changes are written to sync.changes';
COMMENT ON COLUMN "sync"."feed"."stream" IS 'Source and kind: tiledesk.leads; also the name of the mirrored table';
COMMENT ON COLUMN "sync"."feed"."on_since" IS 'Switched on (UTC)';
COMMENT ON COLUMN "sync"."feed"."definition" IS 'Digest of the triggers as this version of the program makes them';
COMMENT ON COLUMN "sync"."feed"."dropped_seq" IS 'Changes up to this number are no longer kept; null: all are';

CREATE TABLE "sync"."consumers" (
  "name" TEXT NOT NULL,
  "seq" BIGINT NOT NULL,
  "registered_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "acked_at" TIMESTAMPTZ(3),

  CONSTRAINT "consumers_pkey" PRIMARY KEY ("name")
);
COMMENT ON TABLE "sync"."consumers" IS 'Readers of the feed, each with what it has acknowledged.';
COMMENT ON COLUMN "sync"."consumers"."name" IS 'Chosen by the program that reads';
COMMENT ON COLUMN "sync"."consumers"."seq" IS 'Cursor: everything up to this change is acknowledged';
COMMENT ON COLUMN "sync"."consumers"."registered_at" IS 'First seen (UTC): changes from then on are read';
COMMENT ON COLUMN "sync"."consumers"."acked_at" IS 'Last acknowledgement (UTC); null: none yet';

CREATE FUNCTION "sync"."feed_lock_base"() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 21484::bigint << 48';
COMMENT ON FUNCTION "sync"."feed_lock_base"() IS 'Advisory locks of writers of the feed: this, and the number that their changes come after';

-- Changes are numbered under the lock of their row, so the numbers have the order of each row. But transactions do not commit in that order: what one that
-- is still open wrote comes later, with smaller numbers. So each writer locks, before its first number, the number that was last then; below the smallest of
-- these locks all is final. Other transactions of the server, however old, keep no reader back.
CREATE FUNCTION "sync"."begin_feed"() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('leadmirror.feed_xid', true) IS NOT DISTINCT FROM pg_current_xact_id()::text THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock_shared(sync.feed_lock_base() + (SELECT last_value - (NOT is_called)::integer FROM sync.changes_seq));
  PERFORM set_config('leadmirror.feed_xid', pg_current_xact_id()::text, true);
END
$$;
COMMENT ON FUNCTION "sync"."begin_feed"() IS 'Called by each writer of the feed before its first change';

-- First the last number, then the locks: who took a number before is either still locked or has ended, and then the next statement sees what it wrote.
CREATE FUNCTION "sync"."settled_changes"() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
  open bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'The feed is read in a transaction of isolation level read committed';
  END IF;
  SELECT last_value - (NOT is_called)::integer INTO last FROM sync.changes_seq;
  SELECT min(((l.classid::bigint << 32) | l.objid::bigint) - sync.feed_lock_base()) INTO open FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint >> 16) = 21484;
  RETURN least(last, open);
END
$$;
COMMENT ON FUNCTION "sync"."settled_changes"() IS 'No change with this number or a smaller one can still turn up';

CREATE FUNCTION "sync"."read_changes"(consumer text, max integer, behind bigint DEFAULT NULL)
RETURNS TABLE (cursor bigint, stream text, connection_id text, id text, op "char", changed text[], seen_at timestamptz, run_id bigint) LANGUAGE plpgsql AS $$
DECLARE
  start bigint := (SELECT coalesce(behind, c.seq) FROM sync.consumers c WHERE c.name = consumer);
  settled bigint;
BEGIN
  IF start IS NULL THEN
    RAISE EXCEPTION 'There is no consumer of this name; sync.ack_changes(name, null) registers one' USING ERRCODE = 'LM002';
  END IF;
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
COMMENT ON FUNCTION "sync"."read_changes"(text, integer, bigint) IS 'The next changes behind what the consumer acknowledged, or behind this cursor, in their final order';

CREATE FUNCTION "sync"."ack_changes"(consumer text, cursor bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  -- A new one reads what is written from now on, the transactions included that are open now.
  IF NOT exists (SELECT FROM sync.consumers c WHERE c.name = consumer) THEN
    INSERT INTO sync.consumers (name, seq)
    VALUES (consumer, CASE WHEN to_regclass('sync.changes') IS NULL THEN 0 ELSE sync.settled_changes() END) ON CONFLICT DO NOTHING;
  END IF;
  UPDATE sync.consumers c SET seq = cursor, acked_at = clock_timestamp() WHERE c.name = consumer AND c.seq < cursor;
  RETURN (SELECT c.seq FROM sync.consumers c WHERE c.name = consumer);
END
$$;
COMMENT ON FUNCTION "sync"."ack_changes"(text, bigint) IS 'Everything up to the cursor was processed; it never goes back. A consumer that is not known is registered, and reads from now on';

CREATE FUNCTION "sync"."keep_changes"(keep interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('sync.changes') IS NULL THEN RETURN; END IF;
  EXECUTE 'UPDATE sync.feed SET dropped_seq = greatest(dropped_seq, (SELECT max(seq) FROM sync.changes WHERE seen_at < clock_timestamp() - $1))' USING keep;
  PERFORM sync.keep_partitions('sync.changes', 'week', keep);
END
$$;
COMMENT ON FUNCTION "sync"."keep_changes"(interval) IS 'Makes the partitions of the weeks to come, drops old ones, and notes up to where changes are gone';
