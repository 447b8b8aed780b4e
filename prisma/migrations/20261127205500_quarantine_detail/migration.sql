-- Quarantine says why: which field, which constraint.
ALTER TABLE "sync"."quarantine" ADD COLUMN "detail" JSONB;

COMMENT ON COLUMN "sync"."quarantine"."detail" IS 'Where it failed, without any value: sqlstate, table, column, constraint of what the database refused; the field that has no usable id; the kind of error of the mapping. Null: not known';
