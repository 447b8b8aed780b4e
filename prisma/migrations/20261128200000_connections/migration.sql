-- Accounts without a file: settings here, what is secret encrypted in sync.secrets.
CREATE TABLE "sync"."connections" (
    "id" TEXT NOT NULL,
    "entry" JSONB NOT NULL,
    "version" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "superseded_at" TIMESTAMPTZ(3),
    "erasing_at" TIMESTAMPTZ(3),

    CONSTRAINT "connections_pkey" PRIMARY KEY ("id")
);

COMMENT ON TABLE "sync"."connections" IS 'Accounts that are kept in the database; their secrets are in sync.secrets, as connection <id>';
COMMENT ON COLUMN "sync"."connections"."id" IS 'Configured account';
COMMENT ON COLUMN "sync"."connections"."entry" IS 'Its settings as in leadmirror.yaml, without what is secret';
COMMENT ON COLUMN "sync"."connections"."version" IS 'Another one with every change: running processes read the table again';
COMMENT ON COLUMN "sync"."connections"."created_at" IS 'Added (UTC)';
COMMENT ON COLUMN "sync"."connections"."updated_at" IS 'Last change (UTC)';
COMMENT ON COLUMN "sync"."connections"."superseded_at" IS 'leadmirror.yaml or the environment was found to have this id, too (UTC): it rests until it is enabled again; null: it counts';
COMMENT ON COLUMN "sync"."connections"."erasing_at" IS 'Its erasure began (UTC), and is not over; null: none';
