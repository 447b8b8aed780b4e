-- Every table has a primary key: without one, logical replication ("create publication … for all tables") lets Postgres refuse updates and deletes.
ALTER TABLE "reporting"."touched" ADD COLUMN "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE "reporting"."response_stats" ADD COLUMN "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE "reporting"."people" ADD COLUMN "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;

COMMENT ON COLUMN "reporting"."touched"."row_id" IS 'Primary key without a meaning';
COMMENT ON COLUMN "reporting"."response_stats"."row_id" IS 'Primary key without a meaning';
COMMENT ON COLUMN "reporting"."people"."row_id" IS 'Primary key without a meaning; another one after each refresh';

-- The refresh compares what it computed with what is stored; the key is stored only.
DO $body$
BEGIN
  EXECUTE replace(pg_get_functiondef('reporting.refresh_people(boolean)'::regprocedure), 'ROW(p.*) IS DISTINCT FROM ROW(n.*)',
    'to_jsonb(p) - ''row_id'' IS DISTINCT FROM to_jsonb(n)');
END
$body$;
