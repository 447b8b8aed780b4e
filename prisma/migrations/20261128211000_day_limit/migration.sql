-- A limit of requests a day, for accounts whose plan counts them.
ALTER TABLE "sync"."budgets" ADD COLUMN "day_limit" INTEGER, ADD COLUMN "day_requests" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "day_ends_at" TIMESTAMPTZ(3);

COMMENT ON COLUMN "sync"."budgets"."day_limit" IS 'Requests that one day may have, in all processes; null: no such limit';
COMMENT ON COLUMN "sync"."budgets"."day_requests" IS 'Requests granted in the day that ends at day_ends_at';
COMMENT ON COLUMN "sync"."budgets"."day_ends_at" IS 'End of that day (UTC), midnight in SYNC_TIMEZONE; null: none was counted';

-- Streams of an account whose day is used up are blocked until its end.
DO $$
DECLARE
  plain text := pg_get_viewdef('sync.status'::regclass);
  extended text := regexp_replace(plain, 'UNION ALL(\s+SELECT 5\M)', 'UNION ALL SELECT 4, ''blocked''::text, ''day_limit''::text,
    ''the requests of this day are used up ('' || y.day_requests || '' of '' || y.day_limit || ''); it goes on by itself at ''
      || to_char(y.day_ends_at AT TIME ZONE ''UTC'', ''YYYY-MM-DD HH24:MI'') || '' UTC'', y.updated_at
    FROM sync.budgets y JOIN sync.streams z ON z.credential = y.credential
    WHERE z.connection_id = f.connection_id AND z.stream = f.stream AND y.day_requests >= y.day_limit AND y.day_ends_at > clock_timestamp()
    UNION ALL\1');
BEGIN
  IF extended = plain THEN
    RAISE EXCEPTION 'sync.status does not contain the branch of a first full read';
  END IF;
  EXECUTE 'CREATE OR REPLACE VIEW sync.status AS ' || extended;
END $$;
