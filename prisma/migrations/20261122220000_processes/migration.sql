-- CreateTable
CREATE TABLE "sync"."processes" (
    "id" UUID NOT NULL,
    "host" TEXT NOT NULL,
    "pid" INTEGER NOT NULL,
    "roles" TEXT[],
    "version" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "beat_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "is_leading" BOOLEAN NOT NULL,
    "queue_ok" BOOLEAN NOT NULL,
    "running_runs" INTEGER NOT NULL,

    CONSTRAINT "processes_pkey" PRIMARY KEY ("id")
);

COMMENT ON TABLE "sync"."processes" IS 'Daemon processes: signs of life, by the database''s clock; removed at a clean stop, and after a day of silence.';
COMMENT ON COLUMN "sync"."processes"."id" IS 'New at every start';
COMMENT ON COLUMN "sync"."processes"."host" IS 'Name of the machine or container';
COMMENT ON COLUMN "sync"."processes"."pid" IS 'Process id on that host';
COMMENT ON COLUMN "sync"."processes"."roles" IS 'What it does: scheduler, worker, web';
COMMENT ON COLUMN "sync"."processes"."version" IS 'Of the program';
COMMENT ON COLUMN "sync"."processes"."started_at" IS 'First sign of life (UTC)';
COMMENT ON COLUMN "sync"."processes"."beat_at" IS 'Last sign of life (UTC); every 10 seconds';
COMMENT ON COLUMN "sync"."processes"."is_leading" IS 'It leads the schedule';
COMMENT ON COLUMN "sync"."processes"."queue_ok" IS 'The queue answered it';
COMMENT ON COLUMN "sync"."processes"."running_runs" IS 'Jobs that it worked on';
