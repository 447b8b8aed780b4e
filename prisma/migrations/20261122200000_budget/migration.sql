-- AlterTable
ALTER TABLE "sync"."streams" ADD COLUMN "credential" TEXT;

-- AlterTable
ALTER TABLE "sync"."budgets"
    ADD COLUMN "fast_free_at" TIMESTAMPTZ(6),
    ADD COLUMN "fast_busy_until" TIMESTAMPTZ(6),
    ADD COLUMN "bulk_busy_until" TIMESTAMPTZ(6),
    ADD COLUMN "learnt_spacing_ms" DOUBLE PRECISION,
    ADD COLUMN "learnt_limit" INTEGER,
    ADD COLUMN "learnt_at" TIMESTAMPTZ(3),
    ADD COLUMN "failures" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "failing_since" TIMESTAMPTZ(3),
    ADD COLUMN "failure_reason" TEXT,
    ADD COLUMN "opened_at" TIMESTAMPTZ(6),
    ADD COLUMN "wake_at" TIMESTAMPTZ(6),
    ADD COLUMN "probes" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "probe_until" TIMESTAMPTZ(6),
    ADD COLUMN "requests" BIGINT NOT NULL DEFAULT 0;

COMMENT ON COLUMN "sync"."streams"."credential" IS 'The budget that its requests are paid from: sync.budgets.credential';

COMMENT ON TABLE "sync"."budgets" IS 'The request budget and the circuit, one row per credential, shared by all processes on all machines.';
COMMENT ON COLUMN "sync"."budgets"."fast_free_at" IS 'The same for the fifth that is the fast lane''s, and of which bulk takes what nobody used; null: as next_free_at';
COMMENT ON COLUMN "sync"."budgets"."fast_busy_until" IS 'A request of the fast lane waits until about then, and the next may follow it (UTC); bulk keeps off its fifth meanwhile';
COMMENT ON COLUMN "sync"."budgets"."bulk_busy_until" IS 'A request of the bulk lane waits, or was told to come back, until then (UTC)';
COMMENT ON COLUMN "sync"."budgets"."learnt_spacing_ms" IS 'Milliseconds between two requests by the limit that the server announced; null: none that is lower than configured';
COMMENT ON COLUMN "sync"."budgets"."learnt_limit" IS 'That limit, requests in one window of the server''s';
COMMENT ON COLUMN "sync"."budgets"."learnt_at" IS 'Last noted (UTC); it counts for an hour';
COMMENT ON COLUMN "sync"."budgets"."failures" IS 'Failed requests in a row, by broken connection, time-out or 5xx';
COMMENT ON COLUMN "sync"."budgets"."failing_since" IS 'The first of them (UTC)';
COMMENT ON COLUMN "sync"."budgets"."failure_reason" IS 'The last of them: network, timeout or a status';
COMMENT ON COLUMN "sync"."budgets"."opened_at" IS 'The circuit is open since then (UTC); null: closed';
COMMENT ON COLUMN "sync"."budgets"."wake_at" IS 'While open: nobody asks before then, but for one probe afterwards (UTC)';
COMMENT ON COLUMN "sync"."budgets"."probes" IS 'Probes since it opened';
COMMENT ON COLUMN "sync"."budgets"."probe_until" IS 'A probe is out, and given up then (UTC)';
COMMENT ON COLUMN "sync"."budgets"."requests" IS 'Requests granted so far';
