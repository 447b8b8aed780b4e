-- What each stream asks of the requests of its credential, for all processes that decide when to read it again.
ALTER TABLE "sync"."streams" ADD COLUMN "changed_at" TIMESTAMPTZ(3), ADD COLUMN "pass_requests" DOUBLE PRECISION;

COMMENT ON COLUMN "sync"."streams"."changed_at" IS 'Something last changed in it then (UTC), as far as its runs that are kept saw; null: nothing did';
COMMENT ON COLUMN "sync"."streams"."pass_requests" IS 'Requests that an incremental pass costs: what the last one sent, those after the first a quarter where it brought changes, at most twice what the one before cost; null: none was counted';
