-- Sessions of the status page are signed, so any replica can check them; one that was signed out is known to all through this table.
CREATE TABLE "sync"."ended_sessions" (
  "id" TEXT NOT NULL,
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "ended_sessions_pkey" PRIMARY KEY ("id")
);

COMMENT ON TABLE "sync"."ended_sessions" IS 'Sessions of the status page that were signed out before they expired';
COMMENT ON COLUMN "sync"."ended_sessions"."id" IS 'Random number of the session; useless without its signature';
COMMENT ON COLUMN "sync"."ended_sessions"."expires_at" IS 'When it would have expired (UTC); afterwards the row is removed';
