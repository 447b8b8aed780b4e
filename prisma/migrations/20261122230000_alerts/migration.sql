-- CreateTable
CREATE TABLE "sync"."alerts" (
    "connection_id" TEXT NOT NULL,
    "stream" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "is_seen" BOOLEAN NOT NULL DEFAULT true,
    "seen_since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "since" TIMESTAMPTZ(3),
    "opened_at" TIMESTAMPTZ(3),
    "closed_at" TIMESTAMPTZ(3),
    "notified_at" TIMESTAMPTZ(3),
    "message_id" UUID,

    CONSTRAINT "alerts_pkey" PRIMARY KEY ("connection_id","stream","kind")
);

-- CreateTable
CREATE TABLE "sync"."alert_messages" (
    "id" UUID NOT NULL,
    "channel" TEXT NOT NULL,
    "number" BIGSERIAL NOT NULL,
    "body" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "delivered_at" TIMESTAMPTZ(3),
    "given_up_at" TIMESTAMPTZ(3),
    "last_error" TEXT,

    CONSTRAINT "alert_messages_pkey" PRIMARY KEY ("id","channel")
);

-- CreateTable
CREATE TABLE "sync"."alert_rounds" (
    "id" INTEGER NOT NULL,
    "evaluated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "alert_rounds_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "alert_messages_channel_number_idx" ON "sync"."alert_messages"("channel", "number");

COMMENT ON TABLE "sync"."alerts" IS 'What is wrong and has to be told to people: one row per connection, stream and kind, from when it was first seen on.';
COMMENT ON COLUMN "sync"."alerts"."connection_id" IS 'Configured account; for circuit_open the credential: sync.budgets.credential';
COMMENT ON COLUMN "sync"."alerts"."stream" IS 'Source and kind: tiledesk.leads; empty when it is about the whole account';
COMMENT ON COLUMN "sync"."alerts"."kind" IS 'stale, blocked, deletion_brake, suddenly_empty, circuit_open, quarantine_growing or verify_differences';
COMMENT ON COLUMN "sync"."alerts"."reason" IS 'Why, for people';
COMMENT ON COLUMN "sync"."alerts"."is_seen" IS 'True when the last round saw it';
COMMENT ON COLUMN "sync"."alerts"."seen_since" IS 'It has been so (seen, or not seen any more) since then (UTC)';
COMMENT ON COLUMN "sync"."alerts"."since" IS 'What it is about began (UTC); null: not known';
COMMENT ON COLUMN "sync"."alerts"."opened_at" IS 'It had lasted long enough to be told (UTC); null: not yet';
COMMENT ON COLUMN "sync"."alerts"."closed_at" IS 'It had been over long enough to be told (UTC); null: not over';
COMMENT ON COLUMN "sync"."alerts"."notified_at" IS 'A message about the last change was delivered (UTC); null: not yet';
COMMENT ON COLUMN "sync"."alerts"."message_id" IS 'Last message that tells of it: sync.alert_messages.id';

COMMENT ON TABLE "sync"."alert_messages" IS 'Messages about alerts, written in the same transaction as the change they tell of, and sent until they are delivered.';
COMMENT ON COLUMN "sync"."alert_messages"."id" IS 'Sent along, so that a receiver can tell a repetition';
COMMENT ON COLUMN "sync"."alert_messages"."channel" IS 'webhook or email';
COMMENT ON COLUMN "sync"."alert_messages"."number" IS 'Grows with time: messages of a channel are sent in this order';
COMMENT ON COLUMN "sync"."alert_messages"."body" IS 'What is told; no personal data';
COMMENT ON COLUMN "sync"."alert_messages"."created_at" IS 'Written (UTC)';
COMMENT ON COLUMN "sync"."alert_messages"."attempts" IS 'Tries so far, the one under way included';
COMMENT ON COLUMN "sync"."alert_messages"."next_attempt_at" IS 'Not tried again before then (UTC); also how long a try under way is left alone';
COMMENT ON COLUMN "sync"."alert_messages"."delivered_at" IS 'Accepted by the receiver (UTC)';
COMMENT ON COLUMN "sync"."alert_messages"."given_up_at" IS 'Not tried any more since then (UTC)';
COMMENT ON COLUMN "sync"."alert_messages"."last_error" IS 'Why the last try failed, for people';

COMMENT ON TABLE "sync"."alert_rounds" IS 'One row: when the alerts were last looked at, so that many processes do it once.';
COMMENT ON COLUMN "sync"."alert_rounds"."id" IS 'Always 1';
COMMENT ON COLUMN "sync"."alert_rounds"."evaluated_at" IS 'The last round began (UTC)';
