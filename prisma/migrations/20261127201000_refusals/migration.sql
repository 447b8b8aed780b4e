-- A refused credential is tried once by all processes together, until the configuration changes or the pause is over.
ALTER TABLE "sync"."budgets" ADD COLUMN "refused_at" TIMESTAMPTZ(3), ADD COLUMN "refused_code" TEXT, ADD COLUMN "refused_message" TEXT, ADD COLUMN "refused_digest" TEXT;

COMMENT ON COLUMN "sync"."budgets"."refused_at" IS 'The upstream refused the credential then (UTC); it is not tried again for 15 minutes. Null: not refused';
COMMENT ON COLUMN "sync"."budgets"."refused_code" IS 'Error code of the refusal';
COMMENT ON COLUMN "sync"."budgets"."refused_message" IS 'What happened and what to do, without the credential';
COMMENT ON COLUMN "sync"."budgets"."refused_digest" IS 'scrypt of the refused secret: another one in the configuration is tried at once';
