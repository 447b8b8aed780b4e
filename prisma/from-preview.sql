-- What the database of the first preview needs before the script of `init`, which makes only what is missing, can run on it.

ALTER TABLE "sync"."proofs" RENAME TO "verifications";
ALTER TABLE "sync"."verifications" RENAME COLUMN "proved_at" TO "verified_at";
-- From Postgres 18 on NOT NULL constraints have names too.
DO $$
DECLARE
  old text;
BEGIN
  FOR old IN SELECT conname FROM pg_constraint WHERE conrelid = 'sync.verifications'::regclass LOOP
    EXECUTE format('ALTER TABLE sync.verifications RENAME CONSTRAINT %I TO %I', old,
      replace(replace(old, 'proofs', 'verifications'), 'proved_at', 'verified_at'));
  END LOOP;
END $$;
ALTER VIEW "sync"."status" RENAME COLUMN "proof_at" TO "verified_at";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_rows" TO "verified_rows";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_share" TO "verified_share";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_differences" TO "verification_differences";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_settled" TO "verification_settled";

ALTER TABLE "sync"."streams" ADD COLUMN "next_due_at" TIMESTAMPTZ(3), ADD COLUMN "interval_seconds" DOUBLE PRECISION,
  ADD COLUMN "changed_at" TIMESTAMPTZ(3), ADD COLUMN "pass_requests" DOUBLE PRECISION;
ALTER TABLE "sync"."budgets" ADD COLUMN "retried_digest" TEXT, ADD COLUMN "day_limit" INTEGER, ADD COLUMN "day_requests" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "day_ends_at" TIMESTAMPTZ(3);
-- `init` gives the function its body.
CREATE FUNCTION "sync"."current_privacy_epoch"() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 0::bigint';
ALTER TABLE "sync"."checkpoints" ADD COLUMN "privacy_epoch" bigint NOT NULL DEFAULT 0;
ALTER TABLE "sync"."checkpoints" ALTER COLUMN "privacy_epoch" SET DEFAULT sync.current_privacy_epoch();
DO $$
DECLARE
  mirrored regclass;
BEGIN
  FOR mirrored IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('tiledesk'::regnamespace, 'tilkee'::regnamespace) LOOP
    EXECUTE format('ALTER TABLE %s ADD COLUMN "erased_at" timestamptz(3)', mirrored);
  END LOOP;
END $$;

-- The refresh makes these indexes when their tables have rows.
DO $$
DECLARE
  made regclass;
BEGIN
  FOR made IN
    SELECT indexrelid FROM pg_index
    WHERE NOT indisunique AND indrelid = ANY ('{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts}'::regclass[])
  LOOP
    EXECUTE format('DROP INDEX %s', made);
  END LOOP;
END $$;
ALTER TABLE "reporting"."lead_facts" DROP CONSTRAINT "lead_facts_pkey", ADD PRIMARY KEY ("id", "connection_id");
-- A person who is one lead and no more has no row of its own.
DELETE FROM "reporting"."people" WHERE "leads" = 1 AND "links" = 0;
