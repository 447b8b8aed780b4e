-- AlterTable
ALTER TABLE "sync"."streams" ADD COLUMN "resync_asked_at" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "sync"."checkpoints" ADD COLUMN "yielded_run_id" BIGINT;

COMMENT ON COLUMN "sync"."streams"."resync_asked_at" IS 'A person asked for a full re-read from zero (UTC); pending while the backfill is not complete';
COMMENT ON COLUMN "sync"."checkpoints"."yielded_run_id" IS 'The run that lets others have their turn and then goes on: sync.runs.id; null when none does';
