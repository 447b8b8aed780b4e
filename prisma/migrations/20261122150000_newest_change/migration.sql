-- AlterTable
ALTER TABLE "sync"."checkpoints" ADD COLUMN "newest_change" TIMESTAMPTZ(3);

COMMENT ON COLUMN "sync"."checkpoints"."newest_change" IS 'Newest change that a full walk met, by the dates of the rows, never later than the server''s clock (UTC)';
