-- When a stream is read next, where its interval follows what changes.
ALTER TABLE "sync"."streams" ADD COLUMN "next_due_at" TIMESTAMPTZ(3), ADD COLUMN "interval_seconds" DOUBLE PRECISION;

COMMENT ON COLUMN "sync"."streams"."next_due_at" IS 'The next incremental pass is due then (UTC), where that is before the next tick of the schedule; null: with that tick';
COMMENT ON COLUMN "sync"."streams"."interval_seconds" IS 'Seconds between the last incremental pass and that one: the interval follows what changes; null: the schedule decides';
