-- What the database of a preview needs before the script of `init`, which makes only what is missing, can run on it.

DO $$
DECLARE
  old text;
BEGIN
  IF to_regclass('sync.proofs') IS NOT NULL THEN
    ALTER TABLE "sync"."proofs" RENAME TO "verifications";
    ALTER TABLE "sync"."verifications" RENAME COLUMN "proved_at" TO "verified_at";
    -- From Postgres 18 on NOT NULL constraints have names too.
    FOR old IN SELECT conname FROM pg_constraint WHERE conrelid = 'sync.verifications'::regclass LOOP
      EXECUTE format('ALTER TABLE sync.verifications RENAME CONSTRAINT %I TO %I', old,
        replace(replace(old, 'proofs', 'verifications'), 'proved_at', 'verified_at'));
    END LOOP;
    ALTER VIEW "sync"."status" RENAME COLUMN "proof_at" TO "verified_at";
    ALTER VIEW "sync"."status" RENAME COLUMN "proof_rows" TO "verified_rows";
    ALTER VIEW "sync"."status" RENAME COLUMN "proof_share" TO "verified_share";
    ALTER VIEW "sync"."status" RENAME COLUMN "proof_differences" TO "verification_differences";
    ALTER VIEW "sync"."status" RENAME COLUMN "proof_settled" TO "verification_settled";
  END IF;
END $$;

ALTER TABLE "sync"."streams" ADD COLUMN IF NOT EXISTS "next_due_at" TIMESTAMPTZ(3), ADD COLUMN IF NOT EXISTS "interval_seconds" DOUBLE PRECISION,
  ADD COLUMN IF NOT EXISTS "changed_at" TIMESTAMPTZ(3), ADD COLUMN IF NOT EXISTS "pass_requests" DOUBLE PRECISION;
ALTER TABLE "sync"."budgets" ADD COLUMN IF NOT EXISTS "retried_digest" TEXT, ADD COLUMN IF NOT EXISTS "day_limit" INTEGER,
  ADD COLUMN IF NOT EXISTS "day_requests" INTEGER NOT NULL DEFAULT 0, ADD COLUMN IF NOT EXISTS "day_ends_at" TIMESTAMPTZ(3);
-- `init` gives these functions their bodies.
CREATE OR REPLACE FUNCTION "sync"."current_privacy_epoch"() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 0::bigint';
CREATE OR REPLACE FUNCTION "reporting"."business_windows"(given text) RETURNS int4range[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT NULL::int4range[]';
ALTER TABLE "sync"."checkpoints" ADD COLUMN IF NOT EXISTS "privacy_epoch" bigint NOT NULL DEFAULT 0;
ALTER TABLE "sync"."checkpoints" ALTER COLUMN "privacy_epoch" SET DEFAULT sync.current_privacy_epoch();
DO $$
DECLARE
  mirrored text;
BEGIN
  FOREACH mirrored IN ARRAY '{leads,requests,departments,project_users,bots,groups,tags,messages}'::text[] LOOP
    EXECUTE format('ALTER TABLE tiledesk.%I ADD COLUMN IF NOT EXISTS "erased_at" timestamptz(3)', mirrored);
  END LOOP;
  FOREACH mirrored IN ARRAY '{projects,items,tokens,connexions,users}'::text[] LOOP
    EXECUTE format('ALTER TABLE tilkee.%I ADD COLUMN IF NOT EXISTS "erased_at" timestamptz(3)', mirrored);
  END LOOP;
END $$;

ALTER TABLE "reporting"."settings" ADD COLUMN IF NOT EXISTS "business_hours" text,
  ADD COLUMN IF NOT EXISTS "business_windows" int4range[] GENERATED ALWAYS AS (reporting.business_windows("business_hours")) STORED,
  ALTER COLUMN "time_zone" DROP NOT NULL,
  DROP CONSTRAINT IF EXISTS "settings_time_zone_check", DROP CONSTRAINT IF EXISTS "settings_business_hours_check",
  DROP CONSTRAINT IF EXISTS "settings_zone_of_all_check";
ALTER TABLE "reporting"."settings"
  ADD CONSTRAINT "settings_time_zone_check" CHECK ("time_zone" IS NULL OR (timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE "time_zone") IS NOT NULL),
  ADD CONSTRAINT "settings_business_hours_check" CHECK ("business_hours" IS NULL OR reporting.business_windows("business_hours") IS NOT NULL),
  ADD CONSTRAINT "settings_zone_of_all_check" CHECK ("time_zone" IS NOT NULL OR "connection_id" <> '*');
ALTER TABLE "reporting"."applied_zones" ALTER COLUMN "time_zone" DROP NOT NULL;
ALTER TABLE "reporting"."response_histories" ADD COLUMN IF NOT EXISTS "business_windows" int4range[];
ALTER TABLE "reporting"."response_stats" ADD COLUMN IF NOT EXISTS "first_response_business_ms" double precision[];
ALTER TABLE "reporting"."request_facts" ADD COLUMN IF NOT EXISTS "first_response_business_ms" bigint;
-- The refresh makes these indexes when their tables have rows.
DO $$
DECLARE
  made regclass;
BEGIN
  FOR made IN
    SELECT indexrelid FROM pg_index
    WHERE NOT indisprimary AND indrelid = ANY ('{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[])
  LOOP
    EXECUTE format('DROP INDEX %s', made);
  END LOOP;
  IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('reporting.request_states')) = 'v' THEN
    DROP VIEW "reporting"."backlog_daily", "reporting"."status_times", "reporting"."request_states";
  END IF;
END $$;
ALTER TABLE "reporting"."lead_facts" DROP CONSTRAINT "lead_facts_pkey", ADD PRIMARY KEY ("id", "connection_id");
-- A person who is one lead and no more has no row of its own.
DELETE FROM "reporting"."people" WHERE "leads" = 1 AND "links" = 0;
