-- Daemons that share a database and a queue need one configuration; where they differ it is shown, and each leaves the other's accounts alone.
ALTER TABLE "sync"."processes" ADD COLUMN "config_hash" TEXT, ADD COLUMN "connections" TEXT[] DEFAULT ARRAY[]::TEXT[];

COMMENT ON COLUMN "sync"."processes"."config_hash" IS 'Digest of the accounts and streams that its configuration names; other processes should have the same';
COMMENT ON COLUMN "sync"."processes"."connections" IS 'Accounts that its configuration names';
