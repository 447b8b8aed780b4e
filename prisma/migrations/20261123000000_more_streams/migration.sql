-- The short lists of bots, groups and tags, and the messages of conversations. References are soft: what a row refers to may arrive later.

-- CreateTable
CREATE TABLE "tiledesk"."bots" (
    "connection_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT,
    "slug" TEXT,
    "description" TEXT,
    "type" TEXT,
    "language" TEXT,
    "intents_engine" TEXT,
    "webhook_enabled" BOOLEAN,
    "trained" BOOLEAN,
    "score" DOUBLE PRECISION,
    "public" BOOLEAN,
    "certified" BOOLEAN,
    "tags" TEXT[],
    "certified_tags" TEXT[],
    "trashed" BOOLEAN,
    "agents_available" BOOLEAN,
    "id_project" TEXT,
    "created_by" TEXT,
    "created_at" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3),
    "raw" JSONB NOT NULL,
    "content_hash" TEXT NOT NULL,
    "text_repaired" BOOLEAN NOT NULL DEFAULT false,
    "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),
    "run_id" BIGINT NOT NULL,

    CONSTRAINT "bots_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tiledesk"."groups" (
    "connection_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT,
    "members" TEXT[],
    "enabled" BOOLEAN,
    "trashed" BOOLEAN,
    "attributes" JSONB,
    "id_project" TEXT,
    "created_by" TEXT,
    "created_at" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3),
    "raw" JSONB NOT NULL,
    "content_hash" TEXT NOT NULL,
    "text_repaired" BOOLEAN NOT NULL DEFAULT false,
    "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),
    "run_id" BIGINT NOT NULL,

    CONSTRAINT "groups_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tiledesk"."tags" (
    "connection_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "tag" TEXT,
    "color" TEXT,
    "attributes" JSONB,
    "id_project" TEXT,
    "created_by" TEXT,
    "created_at" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3),
    "raw" JSONB NOT NULL,
    "content_hash" TEXT NOT NULL,
    "text_repaired" BOOLEAN NOT NULL DEFAULT false,
    "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),
    "run_id" BIGINT NOT NULL,

    CONSTRAINT "tags_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tiledesk"."messages" (
    "connection_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "request_id" TEXT,
    "sender" TEXT,
    "sender_fullname" TEXT,
    "recipient_fullname" TEXT,
    "type" TEXT,
    "channel_type" TEXT,
    "channel" TEXT,
    "text" TEXT,
    "language" TEXT,
    "status" INTEGER,
    "subtype" TEXT,
    "attributes" JSONB,
    "metadata" JSONB,
    "id_project" TEXT,
    "created_by" TEXT,
    "created_at" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3),
    "raw" JSONB NOT NULL,
    "content_hash" TEXT NOT NULL,
    "text_repaired" BOOLEAN NOT NULL DEFAULT false,
    "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),
    "run_id" BIGINT NOT NULL,

    CONSTRAINT "messages_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateIndex
CREATE INDEX "messages_connection_id_created_at_idx" ON "tiledesk"."messages"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "messages_connection_id_updated_at_idx" ON "tiledesk"."messages"("connection_id", "updated_at");

-- CreateIndex
CREATE INDEX "messages_connection_id_request_id_idx" ON "tiledesk"."messages"("connection_id", "request_id");

-- Messages are read in the order in which the mirror wrote their conversations.
CREATE INDEX "requests_synced_at_connection_id_id_idx" ON "tiledesk"."requests"("synced_at", "connection_id", "id");

COMMENT ON TABLE "tiledesk"."bots" IS 'Bots of a Tiledesk project.';
COMMENT ON COLUMN "tiledesk"."bots"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."bots"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."bots"."name" IS 'Name';
COMMENT ON COLUMN "tiledesk"."bots"."slug" IS 'Name as it stands in addresses';
COMMENT ON COLUMN "tiledesk"."bots"."description" IS 'Description';
COMMENT ON COLUMN "tiledesk"."bots"."type" IS 'internal, external, tilebot, identity, ...';
COMMENT ON COLUMN "tiledesk"."bots"."language" IS 'ISO 639 code';
COMMENT ON COLUMN "tiledesk"."bots"."intents_engine" IS 'Upstream intentsEngine: what finds the intent; none without one';
COMMENT ON COLUMN "tiledesk"."bots"."webhook_enabled" IS 'The bot calls a webhook';
COMMENT ON COLUMN "tiledesk"."bots"."trained" IS 'Upstream trained';
COMMENT ON COLUMN "tiledesk"."bots"."score" IS 'Upstream score';
COMMENT ON COLUMN "tiledesk"."bots"."public" IS 'Offered to other projects';
COMMENT ON COLUMN "tiledesk"."bots"."certified" IS 'Checked by the vendor';
COMMENT ON COLUMN "tiledesk"."bots"."tags" IS 'Tags';
COMMENT ON COLUMN "tiledesk"."bots"."certified_tags" IS 'Upstream certifiedTags';
COMMENT ON COLUMN "tiledesk"."bots"."trashed" IS 'Removed, and still shown by the list';
COMMENT ON COLUMN "tiledesk"."bots"."agents_available" IS 'Computed by the server: somebody is there to take over';
COMMENT ON COLUMN "tiledesk"."bots"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."bots"."created_by" IS 'User id';
COMMENT ON COLUMN "tiledesk"."bots"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."bots"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."bots"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."bots"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."bots"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."bots"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."bots"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."bots"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."bots"."run_id" IS 'Run that wrote this version: sync.runs.id';

COMMENT ON TABLE "tiledesk"."groups" IS 'Groups of teammates of a Tiledesk project.';
COMMENT ON COLUMN "tiledesk"."groups"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."groups"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."groups"."name" IS 'Name';
COMMENT ON COLUMN "tiledesk"."groups"."members" IS 'User ids: tiledesk.project_users.id_user';
COMMENT ON COLUMN "tiledesk"."groups"."enabled" IS 'In use';
COMMENT ON COLUMN "tiledesk"."groups"."trashed" IS 'Removed, and still shown by the list';
COMMENT ON COLUMN "tiledesk"."groups"."attributes" IS 'Free form, as upstream';
COMMENT ON COLUMN "tiledesk"."groups"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."groups"."created_by" IS 'User id';
COMMENT ON COLUMN "tiledesk"."groups"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."groups"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."groups"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."groups"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."groups"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."groups"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."groups"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."groups"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."groups"."run_id" IS 'Run that wrote this version: sync.runs.id';

COMMENT ON TABLE "tiledesk"."tags" IS 'Tags that a Tiledesk project offers. What a conversation is tagged with is in tiledesk.requests.tags, by text.';
COMMENT ON COLUMN "tiledesk"."tags"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."tags"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."tags"."tag" IS 'The text: tiledesk.requests.tags holds it';
COMMENT ON COLUMN "tiledesk"."tags"."color" IS 'Colour in the dashboard, #rrggbb';
COMMENT ON COLUMN "tiledesk"."tags"."attributes" IS 'Free form, as upstream';
COMMENT ON COLUMN "tiledesk"."tags"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."tags"."created_by" IS 'User id';
COMMENT ON COLUMN "tiledesk"."tags"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."tags"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."tags"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."tags"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."tags"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."tags"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."tags"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."tags"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."tags"."run_id" IS 'Run that wrote this version: sync.runs.id';

COMMENT ON TABLE "tiledesk"."messages" IS 'Messages of the mirrored conversations. Rows are added and updated; a message that a later answer leaves out stays.';
COMMENT ON COLUMN "tiledesk"."messages"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."messages"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."messages"."request_id" IS 'Conversation: tiledesk.requests.request_id (upstream recipient). It may be mirrored later';
COMMENT ON COLUMN "tiledesk"."messages"."sender" IS 'User id, bot_<id> for bots, or system';
COMMENT ON COLUMN "tiledesk"."messages"."sender_fullname" IS 'Upstream senderFullname, as shown then';
COMMENT ON COLUMN "tiledesk"."messages"."recipient_fullname" IS 'Upstream recipientFullname';
COMMENT ON COLUMN "tiledesk"."messages"."type" IS 'text, image, frame, ...';
COMMENT ON COLUMN "tiledesk"."messages"."channel_type" IS 'group or direct';
COMMENT ON COLUMN "tiledesk"."messages"."channel" IS 'Channel name, for example chat21, email, whatsapp';
COMMENT ON COLUMN "tiledesk"."messages"."text" IS 'What was written';
COMMENT ON COLUMN "tiledesk"."messages"."language" IS 'Language of the text';
COMMENT ON COLUMN "tiledesk"."messages"."status" IS '-100 failed, 0 sending, 100 sent, 150 delivered, 200 received, 250 return receipt, 300 seen';
COMMENT ON COLUMN "tiledesk"."messages"."subtype" IS 'Upstream attributes.subtype: info, info/support, ... of messages that the system writes';
COMMENT ON COLUMN "tiledesk"."messages"."attributes" IS 'Free form, as upstream';
COMMENT ON COLUMN "tiledesk"."messages"."metadata" IS 'Of images and files: src, width, height, ...; else as upstream';
COMMENT ON COLUMN "tiledesk"."messages"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."messages"."created_by" IS 'User id';
COMMENT ON COLUMN "tiledesk"."messages"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."messages"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."messages"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."messages"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."messages"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."messages"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."messages"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."messages"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."messages"."run_id" IS 'Run that wrote this version: sync.runs.id';
