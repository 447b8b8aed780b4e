-- A person's run tries a refused credential once more, once for one configured credential.
ALTER TABLE "sync"."budgets" ADD COLUMN "retried_digest" TEXT;
COMMENT ON COLUMN "sync"."budgets"."retried_digest" IS 'refused_digest of the secret that a person''s run tried once more while it was refused: the same one is not tried so again. Null: none';
