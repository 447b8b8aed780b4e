-- A budget is read, decided on, and written where its version is still the same: no lock is held across a round trip.
ALTER TABLE "sync"."budgets" ADD COLUMN "version" BIGINT NOT NULL DEFAULT 0;

COMMENT ON COLUMN "sync"."budgets"."version" IS 'Raised by every change; a process that decided on an older one decides again';
