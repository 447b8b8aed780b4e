ALTER TABLE "sync"."count_checks" ADD COLUMN "left_out" JSONB NOT NULL DEFAULT '[]';
COMMENT ON COLUMN "sync"."count_checks"."left_out" IS 'When those rows were created (ms since 1970) that the upstream was seen to have and that are not written, because their person was erased';
