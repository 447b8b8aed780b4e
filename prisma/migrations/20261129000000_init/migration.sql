-- The mirrored tables, the engine's own records, the view of their state, and the reporting tables with the function that keeps them current.
CREATE SCHEMA IF NOT EXISTS "sync";
CREATE SCHEMA IF NOT EXISTS "tiledesk";
CREATE SCHEMA IF NOT EXISTS "tilkee";

CREATE TABLE IF NOT EXISTS "tiledesk"."leads" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "lead_id" TEXT,
  "fullname" TEXT,
  "email" TEXT,
  "phone" TEXT,
  "company" TEXT,
  "note" TEXT,
  "street_address" TEXT,
  "city" TEXT,
  "region" TEXT,
  "zipcode" TEXT,
  "country" TEXT,
  "tags" TEXT[],
  "attributes" JSONB,
  "properties" JSONB,
  "status" INTEGER,
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
  "erased_at" timestamptz(3),

  CONSTRAINT "leads_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "leads_connection_id_created_at_idx" ON "tiledesk"."leads"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "leads_connection_id_updated_at_idx" ON "tiledesk"."leads"("connection_id", "updated_at");
CREATE INDEX IF NOT EXISTS "leads_email_idx" ON "tiledesk"."leads"("email");
CREATE INDEX IF NOT EXISTS "leads_connection_id_lead_id_idx" ON "tiledesk"."leads"("connection_id", "lead_id");
CREATE INDEX IF NOT EXISTS "leads_synced_at_idx" ON "tiledesk"."leads"("synced_at");
CREATE INDEX IF NOT EXISTS "leads_erased_idx" ON "tiledesk"."leads" ("connection_id", "id") WHERE "erased_at" IS NOT NULL;
COMMENT ON TABLE "tiledesk"."leads" IS 'Contacts of a Tiledesk project (upstream: leads). Statuses 50 (temporary), 100 (normal) and 1000 (deleted).';
COMMENT ON COLUMN "tiledesk"."leads"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."leads"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."leads"."lead_id" IS 'External id of the visitor; not unique';
COMMENT ON COLUMN "tiledesk"."leads"."fullname" IS 'Name as the visitor or an agent gave it';
COMMENT ON COLUMN "tiledesk"."leads"."email" IS 'E-mail address as given, not validated';
COMMENT ON COLUMN "tiledesk"."leads"."phone" IS 'Phone number as given, not validated';
COMMENT ON COLUMN "tiledesk"."leads"."company" IS 'Company as given';
COMMENT ON COLUMN "tiledesk"."leads"."note" IS 'Free note of the team';
COMMENT ON COLUMN "tiledesk"."leads"."street_address" IS 'Upstream streetAddress';
COMMENT ON COLUMN "tiledesk"."leads"."city" IS 'City as given';
COMMENT ON COLUMN "tiledesk"."leads"."region" IS 'Region as given';
COMMENT ON COLUMN "tiledesk"."leads"."zipcode" IS 'Postal code as given';
COMMENT ON COLUMN "tiledesk"."leads"."country" IS 'Country as given';
COMMENT ON COLUMN "tiledesk"."leads"."tags" IS 'Plain tags';
COMMENT ON COLUMN "tiledesk"."leads"."attributes" IS 'Free-form attributes, any JSON';
COMMENT ON COLUMN "tiledesk"."leads"."properties" IS 'Custom contact properties, any JSON';
COMMENT ON COLUMN "tiledesk"."leads"."status" IS '50 temporary, 100 normal, 1000 deleted';
COMMENT ON COLUMN "tiledesk"."leads"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."leads"."created_by" IS 'User id, or system';
COMMENT ON COLUMN "tiledesk"."leads"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."leads"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."leads"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."leads"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."deleted_at" IS 'Null: alive. For leads of status 1000, the time of that change';
COMMENT ON COLUMN "tiledesk"."leads"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tiledesk"."leads"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."requests" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "request_id" TEXT,
  "ticket_id" BIGINT,
  "status" INTEGER,
  "preflight" BOOLEAN,
  "draft" BOOLEAN,
  "has_bot" BOOLEAN,
  "first_text" TEXT,
  "subject" TEXT,
  "lead_id" TEXT,
  "requester_id" TEXT,
  "requester" TEXT,
  "department_id" TEXT,
  "participants" TEXT[],
  "participants_agents" TEXT[],
  "participants_bots" TEXT[],
  "assignee" TEXT,
  "followers" TEXT[],
  "priority" TEXT,
  "working_status" TEXT,
  "channel" TEXT,
  "channel_outbound" TEXT,
  "language" TEXT,
  "source_page" TEXT,
  "user_agent" TEXT,
  "rating" DOUBLE PRECISION,
  "rating_message" TEXT,
  "tags" TEXT[],
  "notes" JSONB,
  "attributes" JSONB,
  "location" JSONB,
  "contact" JSONB,
  "smart_assignment" BOOLEAN,
  "first_response_at" TIMESTAMPTZ(3),
  "assigned_at" TIMESTAMPTZ(3),
  "closed_at" TIMESTAMPTZ(3),
  "closed_by" TEXT,
  "waiting_time_ms" BIGINT,
  "duration_ms" BIGINT,
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
  "erased_at" timestamptz(3),

  CONSTRAINT "requests_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "requests_connection_id_created_at_idx" ON "tiledesk"."requests"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "requests_connection_id_updated_at_idx" ON "tiledesk"."requests"("connection_id", "updated_at");
CREATE INDEX IF NOT EXISTS "requests_connection_id_lead_id_idx" ON "tiledesk"."requests"("connection_id", "lead_id");
CREATE INDEX IF NOT EXISTS "requests_connection_id_department_id_idx" ON "tiledesk"."requests"("connection_id", "department_id");
CREATE INDEX IF NOT EXISTS "requests_connection_id_request_id_idx" ON "tiledesk"."requests"("connection_id", "request_id");
CREATE INDEX IF NOT EXISTS "requests_synced_at_connection_id_id_idx" ON "tiledesk"."requests"("synced_at", "connection_id", "id");
-- What the questions of a support lead and a sales lead need: indexes over few rows, and a view of each link beside the chat before it. What is left of an
-- erased person is no person.

-- Closed once and open again: a few rows.
CREATE INDEX IF NOT EXISTS "requests_reopened_idx" ON "tiledesk"."requests" ("closed_at")
  WHERE "closed_at" IS NOT NULL AND "status" < 1000 AND "deleted_at" IS NULL AND "erased_at" IS NULL;
COMMENT ON TABLE "tiledesk"."requests" IS 'Conversations of a Tiledesk project (upstream: requests), all statuses, preflight and drafts included.';
COMMENT ON COLUMN "tiledesk"."requests"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."requests"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."requests"."request_id" IS 'External id, the one used in Tiledesk URLs';
COMMENT ON COLUMN "tiledesk"."requests"."ticket_id" IS 'Number per project; absent on old rows';
COMMENT ON COLUMN "tiledesk"."requests"."status" IS '50 temporary, 100 unassigned, 150 abandoned, 200 assigned, 1000 closed. Decide "closed" from this, never from closed_at';
COMMENT ON COLUMN "tiledesk"."requests"."preflight" IS 'True while the visitor has not written yet';
COMMENT ON COLUMN "tiledesk"."requests"."draft" IS 'True for test conversations started from the bot designer';
COMMENT ON COLUMN "tiledesk"."requests"."has_bot" IS 'A bot takes part';
COMMENT ON COLUMN "tiledesk"."requests"."first_text" IS 'First message of the visitor';
COMMENT ON COLUMN "tiledesk"."requests"."subject" IS 'Subject, mostly of e-mail and form conversations';
COMMENT ON COLUMN "tiledesk"."requests"."lead_id" IS 'The lead: tiledesk.leads.id';
COMMENT ON COLUMN "tiledesk"."requests"."requester_id" IS 'Upstream requester_id, computed by the server: the id of the lead';
COMMENT ON COLUMN "tiledesk"."requests"."requester" IS 'Upstream requester: the project user who opened the conversation, tiledesk.project_users.id';
COMMENT ON COLUMN "tiledesk"."requests"."department_id" IS 'tiledesk.departments.id';
COMMENT ON COLUMN "tiledesk"."requests"."participants" IS 'User ids; bots as bot_<id>';
COMMENT ON COLUMN "tiledesk"."requests"."participants_agents" IS 'Participants that are people';
COMMENT ON COLUMN "tiledesk"."requests"."participants_bots" IS 'Participants that are bots, without the prefix';
COMMENT ON COLUMN "tiledesk"."requests"."assignee" IS 'User id, rarely set';
COMMENT ON COLUMN "tiledesk"."requests"."followers" IS 'User ids';
COMMENT ON COLUMN "tiledesk"."requests"."priority" IS 'low, medium, high, urgent';
COMMENT ON COLUMN "tiledesk"."requests"."working_status" IS 'new, pending, open or a custom value';
COMMENT ON COLUMN "tiledesk"."requests"."channel" IS 'Channel name: chat21 (widget), email, form, whatsapp, ...';
COMMENT ON COLUMN "tiledesk"."requests"."channel_outbound" IS 'Channel name of the answers';
COMMENT ON COLUMN "tiledesk"."requests"."language" IS 'Language of the visitor''s browser';
COMMENT ON COLUMN "tiledesk"."requests"."source_page" IS 'Page on which the conversation was opened';
COMMENT ON COLUMN "tiledesk"."requests"."user_agent" IS 'Browser of the visitor; stored only with STORE_VISITOR_PII=true';
COMMENT ON COLUMN "tiledesk"."requests"."rating" IS 'Rating by the visitor';
COMMENT ON COLUMN "tiledesk"."requests"."rating_message" IS 'Text of the rating';
COMMENT ON COLUMN "tiledesk"."requests"."tags" IS 'Tag names';
COMMENT ON COLUMN "tiledesk"."requests"."notes" IS 'Internal notes, as upstream';
COMMENT ON COLUMN "tiledesk"."requests"."attributes" IS 'Free-form attributes, any JSON';
COMMENT ON COLUMN "tiledesk"."requests"."location" IS 'Where the visitor was, as upstream, without the IP address unless STORE_VISITOR_PII=true';
COMMENT ON COLUMN "tiledesk"."requests"."contact" IS 'Contact details, as upstream';
COMMENT ON COLUMN "tiledesk"."requests"."smart_assignment" IS 'False for conversations that are not routed by availability';
COMMENT ON COLUMN "tiledesk"."requests"."first_response_at" IS 'First answer by an agent (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."assigned_at" IS 'Last assignment (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."closed_at" IS 'Closed (UTC); stays set after a reopening';
COMMENT ON COLUMN "tiledesk"."requests"."closed_by" IS 'User id, bot id or the name of a scheduler';
COMMENT ON COLUMN "tiledesk"."requests"."waiting_time_ms" IS 'Upstream waiting_time: creation to first answer of an agent, milliseconds';
COMMENT ON COLUMN "tiledesk"."requests"."duration_ms" IS 'Upstream duration: creation to close, milliseconds';
COMMENT ON COLUMN "tiledesk"."requests"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."requests"."created_by" IS 'User id, or system';
COMMENT ON COLUMN "tiledesk"."requests"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."updated_at" IS 'Last change upstream (UTC); every new message moves it';
COMMENT ON COLUMN "tiledesk"."requests"."raw" IS 'The upstream object as received (transcript and snapshot included), less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."requests"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."requests"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."requests"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."requests"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tiledesk"."requests"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."departments" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "name" TEXT,
  "description" TEXT,
  "routing" TEXT,
  "is_default" BOOLEAN,
  "status" INTEGER,
  "id_bot" TEXT,
  "has_bot" BOOLEAN,
  "bot_only" BOOLEAN,
  "id_group" TEXT,
  "groups" JSONB,
  "online_msg" TEXT,
  "offline_msg" TEXT,
  "tags" JSONB,
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
  "erased_at" timestamptz(3),

  CONSTRAINT "departments_pkey" PRIMARY KEY ("connection_id","id")
);
COMMENT ON TABLE "tiledesk"."departments" IS 'Departments of a Tiledesk project, hidden ones included.';
COMMENT ON COLUMN "tiledesk"."departments"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."departments"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."departments"."name" IS 'Name';
COMMENT ON COLUMN "tiledesk"."departments"."description" IS 'Description';
COMMENT ON COLUMN "tiledesk"."departments"."routing" IS 'assigned, pooled, ...';
COMMENT ON COLUMN "tiledesk"."departments"."is_default" IS 'Upstream default: the project''s default department';
COMMENT ON COLUMN "tiledesk"."departments"."status" IS '1 visible, 0 hidden';
COMMENT ON COLUMN "tiledesk"."departments"."id_bot" IS 'Id of the bot that answers first';
COMMENT ON COLUMN "tiledesk"."departments"."has_bot" IS 'Computed by the server: a bot is set';
COMMENT ON COLUMN "tiledesk"."departments"."bot_only" IS 'The bot never hands over to people';
COMMENT ON COLUMN "tiledesk"."departments"."id_group" IS 'Id of the group that serves it';
COMMENT ON COLUMN "tiledesk"."departments"."groups" IS 'Groups that serve it, as upstream';
COMMENT ON COLUMN "tiledesk"."departments"."online_msg" IS 'Greeting while agents are there';
COMMENT ON COLUMN "tiledesk"."departments"."offline_msg" IS 'Greeting while no teammate is available';
COMMENT ON COLUMN "tiledesk"."departments"."tags" IS 'Tags, as upstream';
COMMENT ON COLUMN "tiledesk"."departments"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."departments"."created_by" IS 'User id';
COMMENT ON COLUMN "tiledesk"."departments"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."departments"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."departments"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."departments"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."departments"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."departments"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."departments"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."departments"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."departments"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tiledesk"."departments"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."project_users" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "id_user" TEXT,
  "firstname" TEXT,
  "lastname" TEXT,
  "email" TEXT,
  "uuid_user" TEXT,
  "role" TEXT,
  "role_type" INTEGER,
  "user_available" BOOLEAN,
  "profile_status" TEXT,
  "presence" JSONB,
  "max_assigned_chat" INTEGER,
  "number_assigned_requests" INTEGER,
  "last_login_at" TIMESTAMPTZ(3),
  "tags" JSONB,
  "permissions" TEXT[],
  "status" TEXT,
  "trashed" BOOLEAN,
  "is_authenticated" BOOLEAN,
  "is_busy" BOOLEAN,
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
  "erased_at" timestamptz(3),

  CONSTRAINT "project_users_pkey" PRIMARY KEY ("connection_id","id")
);
COMMENT ON TABLE "tiledesk"."project_users" IS 'Members of a Tiledesk project (agents, admins, owner), removed ones included while the server lists them.';
COMMENT ON COLUMN "tiledesk"."project_users"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."project_users"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."project_users"."id_user" IS 'The user''s id; participants of requests name it';
COMMENT ON COLUMN "tiledesk"."project_users"."firstname" IS 'First name';
COMMENT ON COLUMN "tiledesk"."project_users"."lastname" IS 'Last name';
COMMENT ON COLUMN "tiledesk"."project_users"."email" IS 'E-mail address of the user';
COMMENT ON COLUMN "tiledesk"."project_users"."uuid_user" IS 'Id of a guest, who has no user';
COMMENT ON COLUMN "tiledesk"."project_users"."role" IS 'owner, admin, supervisor, agent, ... or a custom role';
COMMENT ON COLUMN "tiledesk"."project_users"."role_type" IS '1 teammate, 2 visitor';
COMMENT ON COLUMN "tiledesk"."project_users"."user_available" IS 'Takes conversations now';
COMMENT ON COLUMN "tiledesk"."project_users"."profile_status" IS 'Text that the user set';
COMMENT ON COLUMN "tiledesk"."project_users"."presence" IS 'Online or offline, and since when, as upstream';
COMMENT ON COLUMN "tiledesk"."project_users"."max_assigned_chat" IS 'Most conversations at a time';
COMMENT ON COLUMN "tiledesk"."project_users"."number_assigned_requests" IS 'Conversations assigned now';
COMMENT ON COLUMN "tiledesk"."project_users"."last_login_at" IS 'Last sign-in (UTC)';
COMMENT ON COLUMN "tiledesk"."project_users"."tags" IS 'Tags, as upstream';
COMMENT ON COLUMN "tiledesk"."project_users"."permissions" IS 'Extra permissions of a custom role';
COMMENT ON COLUMN "tiledesk"."project_users"."status" IS 'active or disabled';
COMMENT ON COLUMN "tiledesk"."project_users"."trashed" IS 'Removed from the project';
COMMENT ON COLUMN "tiledesk"."project_users"."is_authenticated" IS 'Computed by the server: has a user';
COMMENT ON COLUMN "tiledesk"."project_users"."is_busy" IS 'Computed by the server: has as many conversations as allowed';
COMMENT ON COLUMN "tiledesk"."project_users"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."project_users"."created_by" IS 'User id';
COMMENT ON COLUMN "tiledesk"."project_users"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."project_users"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."project_users"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."project_users"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."project_users"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."project_users"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."project_users"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."project_users"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."project_users"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tiledesk"."project_users"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."bots" (
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
  "erased_at" timestamptz(3),

  CONSTRAINT "bots_pkey" PRIMARY KEY ("connection_id","id")
);
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
COMMENT ON COLUMN "tiledesk"."bots"."agents_available" IS 'Computed by the server: a teammate is available to take over';
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
COMMENT ON COLUMN "tiledesk"."bots"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."groups" (
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
  "erased_at" timestamptz(3),

  CONSTRAINT "groups_pkey" PRIMARY KEY ("connection_id","id")
);
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
COMMENT ON COLUMN "tiledesk"."groups"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."tags" (
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
  "erased_at" timestamptz(3),

  CONSTRAINT "tags_pkey" PRIMARY KEY ("connection_id","id")
);
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
COMMENT ON COLUMN "tiledesk"."tags"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tiledesk"."messages" (
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
  "erased_at" timestamptz(3),

  CONSTRAINT "messages_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "messages_connection_id_created_at_idx" ON "tiledesk"."messages"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "messages_connection_id_updated_at_idx" ON "tiledesk"."messages"("connection_id", "updated_at");
CREATE INDEX IF NOT EXISTS "messages_connection_id_request_id_idx" ON "tiledesk"."messages"("connection_id", "request_id");
-- Words of messages are found by an index. A text too long for it would be refused; its beginning never is.
CREATE INDEX IF NOT EXISTS "messages_search_idx" ON "tiledesk"."messages" USING gin (to_tsvector('simple', left("text", 100000)));
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
COMMENT ON COLUMN "tiledesk"."messages"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

-- Who did what, where a server notes it.
CREATE TABLE IF NOT EXISTS "tiledesk"."activities" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "verb" TEXT,
  "actor_type" TEXT,
  "actor_id" TEXT,
  "target_type" TEXT,
  "target_id" TEXT,
  "conversation_id" TEXT,
  "user_id" TEXT,
  "assignee_id" TEXT,
  "assignee_type" TEXT,
  "previous_assignee_id" TEXT,
  "source" TEXT,
  "action" JSONB,
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
  "erased_at" TIMESTAMPTZ(3),

  CONSTRAINT "activities_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "activities_connection_id_created_at_idx" ON "tiledesk"."activities"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "activities_connection_id_conversation_id_idx" ON "tiledesk"."activities"("connection_id", "conversation_id");
COMMENT ON TABLE "tiledesk"."activities" IS 'Who did what in a Tiledesk project: conversations opened, assigned and closed, members invited and changed. Only of servers that note it, which keep it for 30 days; rows stay here. No names: they are in tiledesk.project_users, by id_user.';
COMMENT ON COLUMN "tiledesk"."activities"."connection_id" IS 'Configured account: tiledesk:<project id>';
COMMENT ON COLUMN "tiledesk"."activities"."id" IS 'Upstream _id, 24 hex digits';
COMMENT ON COLUMN "tiledesk"."activities"."verb" IS 'What was done: REQUEST_CREATE, REQUEST_CLOSE, REQUEST_ASSIGNED_AUTO, _SELF and _MANUAL, REQUEST_UNASSIGNED, PROJECT_USER_INVITE, _UPDATE and _DELETE, ...; open set';
COMMENT ON COLUMN "tiledesk"."activities"."actor_type" IS 'user or system';
COMMENT ON COLUMN "tiledesk"."activities"."actor_id" IS 'Who did it: user id; of REQUEST_CREATE the visitor (tiledesk.leads.id or lead_id); else bot_<id>, system or another name of the server';
COMMENT ON COLUMN "tiledesk"."activities"."target_type" IS 'What it was done to: request, project_user, pendinginvitation, user, bot, department, ...';
COMMENT ON COLUMN "tiledesk"."activities"."target_id" IS 'Id of that: of a request tiledesk.requests.id, of a member tiledesk.project_users.id';
COMMENT ON COLUMN "tiledesk"."activities"."conversation_id" IS 'Conversation that it is about: tiledesk.requests.id; null: none';
COMMENT ON COLUMN "tiledesk"."activities"."user_id" IS 'User id of the member that it is about; null: none, or a guest';
COMMENT ON COLUMN "tiledesk"."activities"."assignee_id" IS 'Who was assigned, joined, or was removed by REQUEST_UNASSIGNED: user id, or id of a bot or department';
COMMENT ON COLUMN "tiledesk"."activities"."assignee_type" IS 'user, bot or department';
COMMENT ON COLUMN "tiledesk"."activities"."previous_assignee_id" IS 'User id of who had the conversation before';
COMMENT ON COLUMN "tiledesk"."activities"."source" IS 'What led to it: api, queue, chatbot, webhook, rules, create, system, subscription, ...';
COMMENT ON COLUMN "tiledesk"."activities"."action" IS 'Of upstream actionObj what identifies no visitor: assignmentType, removedParticipants, role, user_available, newStatus, updateType, ...';
COMMENT ON COLUMN "tiledesk"."activities"."id_project" IS 'Upstream id_project';
COMMENT ON COLUMN "tiledesk"."activities"."created_by" IS 'Always null: activities have actor_id instead';
COMMENT ON COLUMN "tiledesk"."activities"."created_at" IS 'When it was done (UTC)';
COMMENT ON COLUMN "tiledesk"."activities"."updated_at" IS 'Last change upstream (UTC): activities do not change';
COMMENT ON COLUMN "tiledesk"."activities"."raw" IS 'The upstream object without the copies of conversations and members in it, and without names';
COMMENT ON COLUMN "tiledesk"."activities"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."activities"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."activities"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."activities"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."activities"."deleted_at" IS 'Always null: what the upstream no longer lists was too old for it';
COMMENT ON COLUMN "tiledesk"."activities"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tiledesk"."activities"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tilkee"."projects" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "source_api" TEXT,
  "name" TEXT,
  "verdict" TEXT,
  "is_template" BOOLEAN,
  "signable" BOOLEAN,
  "signed" BOOLEAN,
  "downloadable" BOOLEAN,
  "favorite" BOOLEAN,
  "processed" BOOLEAN,
  "tags" TEXT[],
  "external_id" TEXT,
  "owner_id" TEXT,
  "owner_email" TEXT,
  "owner_first_name" TEXT,
  "owner_last_name" TEXT,
  "theme_id" TEXT,
  "vcard_id" TEXT,
  "workspace_id" TEXT,
  "duration" INTEGER,
  "expiration_date" TIMESTAMPTZ(3),
  "status" TEXT,
  "archived_at" TIMESTAMPTZ(3),
  "first_access_at" TIMESTAMPTZ(3),
  "last_sign_in_at" TIMESTAMPTZ(3),
  "total_time" BIGINT,
  "connections_count" INTEGER,
  "links_count" INTEGER,
  "items_count" INTEGER,
  "interest" DOUBLE PRECISION,
  "median_percentage_read" DOUBLE PRECISION,
  "data" JSONB,
  "created_at" TIMESTAMPTZ(3),
  "updated_at" TIMESTAMPTZ(3),
  "raw" JSONB NOT NULL,
  "content_hash" TEXT NOT NULL,
  "text_repaired" BOOLEAN NOT NULL DEFAULT false,
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "deleted_at" TIMESTAMPTZ(3),
  "run_id" BIGINT NOT NULL,
  "erased_at" timestamptz(3),

  CONSTRAINT "projects_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "projects_connection_id_created_at_idx" ON "tilkee"."projects"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "projects_connection_id_updated_at_idx" ON "tilkee"."projects"("connection_id", "updated_at");
CREATE INDEX IF NOT EXISTS "projects_connection_id_external_id_idx" ON "tilkee"."projects"("connection_id", "external_id");
CREATE INDEX IF NOT EXISTS "projects_connection_id_owner_id_idx" ON "tilkee"."projects"("connection_id", "owner_id");
CREATE INDEX IF NOT EXISTS "projects_synced_at_idx" ON "tilkee"."projects"("synced_at");
COMMENT ON TABLE "tilkee"."projects" IS 'Projects of a Tilkee account: bundles of documents that are sent to prospects, templates included.';
COMMENT ON COLUMN "tilkee"."projects"."connection_id" IS 'Configured account: tilkee:default';
COMMENT ON COLUMN "tilkee"."projects"."id" IS 'Upstream id';
COMMENT ON COLUMN "tilkee"."projects"."source_api" IS 'v3 or v2: the API that this row was read from';
COMMENT ON COLUMN "tilkee"."projects"."name" IS 'Name';
COMMENT ON COLUMN "tilkee"."projects"."verdict" IS 'Outcome of the deal: won, lost, na, unset; older servers also ac, nc';
COMMENT ON COLUMN "tilkee"."projects"."is_template" IS 'Other projects are made from it';
COMMENT ON COLUMN "tilkee"."projects"."signable" IS 'Can be signed';
COMMENT ON COLUMN "tilkee"."projects"."signed" IS 'Was signed';
COMMENT ON COLUMN "tilkee"."projects"."downloadable" IS 'Readers may download (V2 can_be_downloaded)';
COMMENT ON COLUMN "tilkee"."projects"."favorite" IS 'Starred by the account that reads (V2 starred)';
COMMENT ON COLUMN "tilkee"."projects"."processed" IS 'Conversion of the documents has finished, V3 only';
COMMENT ON COLUMN "tilkee"."projects"."tags" IS 'Tag names';
COMMENT ON COLUMN "tilkee"."projects"."external_id" IS 'The caller''s own id';
COMMENT ON COLUMN "tilkee"."projects"."owner_id" IS 'tilkee.users.id (V2 leader)';
COMMENT ON COLUMN "tilkee"."projects"."owner_email" IS 'E-mail address of the owner';
COMMENT ON COLUMN "tilkee"."projects"."owner_first_name" IS 'First name of the owner';
COMMENT ON COLUMN "tilkee"."projects"."owner_last_name" IS 'Last name of the owner';
COMMENT ON COLUMN "tilkee"."projects"."theme_id" IS 'Id of the look of the viewer';
COMMENT ON COLUMN "tilkee"."projects"."vcard_id" IS 'Id of the business card that readers see';
COMMENT ON COLUMN "tilkee"."projects"."workspace_id" IS 'Id of the workspace';
COMMENT ON COLUMN "tilkee"."projects"."duration" IS 'Templates: days until projects made from it expire';
COMMENT ON COLUMN "tilkee"."projects"."expiration_date" IS 'End of consultation (UTC; V2 consultable_until)';
COMMENT ON COLUMN "tilkee"."projects"."status" IS 'activated or archived';
COMMENT ON COLUMN "tilkee"."projects"."archived_at" IS 'Archived (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."first_access_at" IS 'First visit (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."last_sign_in_at" IS 'Last visit (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."total_time" IS 'Time spent reading, as upstream: milliseconds in V2, no unit stated in V3';
COMMENT ON COLUMN "tilkee"."projects"."connections_count" IS 'Visits (V2 nb_connections)';
COMMENT ON COLUMN "tilkee"."projects"."links_count" IS 'Links (V2 tokens_count)';
COMMENT ON COLUMN "tilkee"."projects"."items_count" IS 'Documents (V2 project_items_count)';
COMMENT ON COLUMN "tilkee"."projects"."interest" IS 'Interest score, as upstream; its scale is not published';
COMMENT ON COLUMN "tilkee"."projects"."median_percentage_read" IS 'Median share read, 0 to 100';
COMMENT ON COLUMN "tilkee"."projects"."data" IS 'Statistics, as upstream; they can change without updated_at';
COMMENT ON COLUMN "tilkee"."projects"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."updated_at" IS 'Last change upstream (UTC); whether visits move it is not published';
COMMENT ON COLUMN "tilkee"."projects"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tilkee"."projects"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tilkee"."projects"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tilkee"."projects"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."deleted_at" IS 'Null: alive. Otherwise when a full sync no longer saw it (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tilkee"."projects"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tilkee"."items" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "source_api" TEXT,
  "name" TEXT,
  "owner_id" TEXT,
  "owner_email" TEXT,
  "element_type" TEXT,
  "extension" TEXT,
  "type" TEXT,
  "external_id" TEXT,
  "tags" TEXT[],
  "favorite" BOOLEAN,
  "file_version" INTEGER,
  "pages_count" INTEGER,
  "processed" BOOLEAN,
  "usable" BOOLEAN,
  "visible" BOOLEAN,
  "retention" BOOLEAN,
  "retention_delay" INTEGER,
  "projects_count" INTEGER,
  "file_size" BIGINT,
  "replaced_at" TIMESTAMPTZ(3),
  "created_at" TIMESTAMPTZ(3),
  "updated_at" TIMESTAMPTZ(3),
  "raw" JSONB NOT NULL,
  "content_hash" TEXT NOT NULL,
  "text_repaired" BOOLEAN NOT NULL DEFAULT false,
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "deleted_at" TIMESTAMPTZ(3),
  "run_id" BIGINT NOT NULL,
  "erased_at" timestamptz(3),

  CONSTRAINT "items_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "items_connection_id_created_at_idx" ON "tilkee"."items"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "items_connection_id_updated_at_idx" ON "tilkee"."items"("connection_id", "updated_at");
CREATE INDEX IF NOT EXISTS "items_connection_id_external_id_idx" ON "tilkee"."items"("connection_id", "external_id");
COMMENT ON TABLE "tilkee"."items" IS 'Library documents of a Tilkee account: files, texts, videos and web pages.';
COMMENT ON COLUMN "tilkee"."items"."connection_id" IS 'Configured account: tilkee:default';
COMMENT ON COLUMN "tilkee"."items"."id" IS 'Upstream id';
COMMENT ON COLUMN "tilkee"."items"."source_api" IS 'v3 or v2: the API that this row was read from';
COMMENT ON COLUMN "tilkee"."items"."name" IS 'Name (V2 title)';
COMMENT ON COLUMN "tilkee"."items"."owner_id" IS 'tilkee.users.id (V3 user_id)';
COMMENT ON COLUMN "tilkee"."items"."owner_email" IS 'E-mail address of the owner';
COMMENT ON COLUMN "tilkee"."items"."element_type" IS 'Doc, Excel, Image, Video, Iframe, Texte, Medium';
COMMENT ON COLUMN "tilkee"."items"."extension" IS 'File name extension';
COMMENT ON COLUMN "tilkee"."items"."type" IS 'Upstream type, V2 only';
COMMENT ON COLUMN "tilkee"."items"."external_id" IS 'The caller''s own id';
COMMENT ON COLUMN "tilkee"."items"."tags" IS 'Tag names';
COMMENT ON COLUMN "tilkee"."items"."favorite" IS 'Starred by the account that reads';
COMMENT ON COLUMN "tilkee"."items"."file_version" IS 'Grows with every replacement of the file';
COMMENT ON COLUMN "tilkee"."items"."pages_count" IS 'Pages (V2 num_pages)';
COMMENT ON COLUMN "tilkee"."items"."processed" IS 'Conversion has finished, V3 only';
COMMENT ON COLUMN "tilkee"."items"."usable" IS 'Can be put into projects, V2 only';
COMMENT ON COLUMN "tilkee"."items"."visible" IS 'Shown in the library, V2 only';
COMMENT ON COLUMN "tilkee"."items"."retention" IS 'Is kept for a limited time only';
COMMENT ON COLUMN "tilkee"."items"."retention_delay" IS 'For how long, as upstream; its unit is not published';
COMMENT ON COLUMN "tilkee"."items"."projects_count" IS 'Projects that hold it, V2 only';
COMMENT ON COLUMN "tilkee"."items"."file_size" IS 'Size of the file, as upstream: bytes presumably';
COMMENT ON COLUMN "tilkee"."items"."replaced_at" IS 'File last replaced (UTC)';
COMMENT ON COLUMN "tilkee"."items"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tilkee"."items"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tilkee"."items"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tilkee"."items"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tilkee"."items"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tilkee"."items"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tilkee"."items"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tilkee"."items"."deleted_at" IS 'Null: alive. Otherwise when a full sync no longer saw it (UTC)';
COMMENT ON COLUMN "tilkee"."items"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tilkee"."items"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tilkee"."tokens" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "name" TEXT,
  "project_id" TEXT,
  "project_name" TEXT,
  "external_id" TEXT,
  "won" TEXT,
  "link" TEXT,
  "preview_url" TEXT,
  "consulted" BOOLEAN,
  "signed" BOOLEAN,
  "generated_by_prospect" BOOLEAN,
  "signed_status" TEXT,
  "signed_docs" JSONB,
  "interest" DOUBLE PRECISION,
  "archived_at" TIMESTAMPTZ(3),
  "first_access_at" TIMESTAMPTZ(3),
  "last_sign_in_at" TIMESTAMPTZ(3),
  "total_time" BIGINT,
  "nb_connections" INTEGER,
  "nb_platforms" INTEGER,
  "percentage_read" DOUBLE PRECISION,
  "percent_read" TEXT,
  "downloaded" BOOLEAN,
  "creator_id" TEXT,
  "created_at" TIMESTAMPTZ(3),
  "updated_at" TIMESTAMPTZ(3),
  "raw" JSONB NOT NULL,
  "content_hash" TEXT NOT NULL,
  "text_repaired" BOOLEAN NOT NULL DEFAULT false,
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "deleted_at" TIMESTAMPTZ(3),
  "run_id" BIGINT NOT NULL,
  "erased_at" timestamptz(3),

  CONSTRAINT "tokens_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "tokens_connection_id_created_at_idx" ON "tilkee"."tokens"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "tokens_connection_id_project_id_idx" ON "tilkee"."tokens"("connection_id", "project_id");
CREATE INDEX IF NOT EXISTS "tokens_connection_id_external_id_idx" ON "tilkee"."tokens"("connection_id", "external_id");
CREATE INDEX IF NOT EXISTS "tokens_synced_at_idx" ON "tilkee"."tokens"("synced_at");
CREATE INDEX IF NOT EXISTS "tokens_erased_idx" ON "tilkee"."tokens" ("connection_id", "id") WHERE "erased_at" IS NOT NULL;
COMMENT ON TABLE "tilkee"."tokens" IS 'Links of a Tilkee account (product: tilk, access link): one link made for one person, the nearest thing to a lead.';
COMMENT ON COLUMN "tilkee"."tokens"."connection_id" IS 'Configured account: tilkee:default';
COMMENT ON COLUMN "tilkee"."tokens"."id" IS 'Upstream id';
COMMENT ON COLUMN "tilkee"."tokens"."name" IS 'Label, normally the recipient';
COMMENT ON COLUMN "tilkee"."tokens"."project_id" IS 'tilkee.projects.id';
COMMENT ON COLUMN "tilkee"."tokens"."project_name" IS 'Name of the project';
COMMENT ON COLUMN "tilkee"."tokens"."external_id" IS 'The caller''s own contact id';
COMMENT ON COLUMN "tilkee"."tokens"."won" IS 'Outcome, as upstream: won, lost, ac, na';
COMMENT ON COLUMN "tilkee"."tokens"."link" IS 'Public address; whoever has it can open the project. Stored only with TILKEE_STORE_LINKS=true';
COMMENT ON COLUMN "tilkee"."tokens"."preview_url" IS 'Address of the preview; stored only with TILKEE_STORE_LINKS=true';
COMMENT ON COLUMN "tilkee"."tokens"."consulted" IS 'Was opened';
COMMENT ON COLUMN "tilkee"."tokens"."signed" IS 'Was signed';
COMMENT ON COLUMN "tilkee"."tokens"."generated_by_prospect" IS 'A reader made it by passing the project on';
COMMENT ON COLUMN "tilkee"."tokens"."signed_status" IS 'no_init, init, waiting, signed, signed_complete';
COMMENT ON COLUMN "tilkee"."tokens"."signed_docs" IS 'Signed documents, as upstream';
COMMENT ON COLUMN "tilkee"."tokens"."interest" IS 'Interest score, as upstream; 0 when unread, its scale is not published';
COMMENT ON COLUMN "tilkee"."tokens"."archived_at" IS 'Archived (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."first_access_at" IS 'First visit (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."last_sign_in_at" IS 'Last visit (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."total_time" IS 'Time spent reading, milliseconds';
COMMENT ON COLUMN "tilkee"."tokens"."nb_connections" IS 'Visits';
COMMENT ON COLUMN "tilkee"."tokens"."nb_platforms" IS 'Devices it was opened on';
COMMENT ON COLUMN "tilkee"."tokens"."percentage_read" IS 'Share read, 0 to 100';
COMMENT ON COLUMN "tilkee"."tokens"."percent_read" IS 'Upstream percent_read, an older field without a published meaning';
COMMENT ON COLUMN "tilkee"."tokens"."downloaded" IS 'Was downloaded';
COMMENT ON COLUMN "tilkee"."tokens"."creator_id" IS 'tilkee.users.id';
COMMENT ON COLUMN "tilkee"."tokens"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."updated_at" IS 'Last change upstream (UTC); no known server sends one';
COMMENT ON COLUMN "tilkee"."tokens"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tilkee"."tokens"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tilkee"."tokens"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tilkee"."tokens"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."deleted_at" IS 'Null: alive. Otherwise when a full sync no longer saw it (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tilkee"."tokens"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tilkee"."connexions" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "title" TEXT,
  "token_id" TEXT,
  "project_id" TEXT,
  "access_date" TIMESTAMPTZ(3),
  "created_at" TIMESTAMPTZ(3),
  "updated_at" TIMESTAMPTZ(3),
  "total_time" BIGINT,
  "percentage_read" DOUBLE PRECISION,
  "downloaded" BOOLEAN,
  "signed" BOOLEAN,
  "new_person" BOOLEAN,
  "platform_id" TEXT,
  "device_type" TEXT,
  "device_number" TEXT,
  "browser" TEXT,
  "os" TEXT,
  "ip" TEXT,
  "user_agent" TEXT,
  "most_visited_time" BIGINT,
  "most_visited_title" TEXT,
  "most_visited_id" TEXT,
  "raw" JSONB NOT NULL,
  "content_hash" TEXT NOT NULL,
  "text_repaired" BOOLEAN NOT NULL DEFAULT false,
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "deleted_at" TIMESTAMPTZ(3),
  "run_id" BIGINT NOT NULL,
  "erased_at" timestamptz(3),

  CONSTRAINT "connexions_pkey" PRIMARY KEY ("connection_id","id")
);
CREATE INDEX IF NOT EXISTS "connexions_connection_id_created_at_idx" ON "tilkee"."connexions"("connection_id", "created_at");
CREATE INDEX IF NOT EXISTS "connexions_connection_id_token_id_idx" ON "tilkee"."connexions"("connection_id", "token_id");
CREATE INDEX IF NOT EXISTS "connexions_connection_id_project_id_idx" ON "tilkee"."connexions"("connection_id", "project_id");
CREATE INDEX IF NOT EXISTS "connexions_synced_at_idx" ON "tilkee"."connexions"("synced_at");
CREATE INDEX IF NOT EXISTS "connexions_documents_idx" ON "tilkee"."connexions" ("access_date") WHERE "most_visited_id" IS NOT NULL;
COMMENT ON TABLE "tilkee"."connexions" IS 'Reading visits of a Tilkee account: one visit through one link.';
COMMENT ON COLUMN "tilkee"."connexions"."connection_id" IS 'Configured account: tilkee:default';
COMMENT ON COLUMN "tilkee"."connexions"."id" IS 'Upstream id';
COMMENT ON COLUMN "tilkee"."connexions"."title" IS 'Name of the link';
COMMENT ON COLUMN "tilkee"."connexions"."token_id" IS 'tilkee.tokens.id, from the visit or the request for it; null while neither has it';
COMMENT ON COLUMN "tilkee"."connexions"."project_id" IS 'tilkee.projects.id, from the visit or the request for it; null while neither has it';
COMMENT ON COLUMN "tilkee"."connexions"."access_date" IS 'The visit began (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."updated_at" IS 'Last change upstream (UTC); no known server sends one';
COMMENT ON COLUMN "tilkee"."connexions"."total_time" IS 'Length of the visit, milliseconds; grows until it ends';
COMMENT ON COLUMN "tilkee"."connexions"."percentage_read" IS 'Share read, 0 to 100';
COMMENT ON COLUMN "tilkee"."connexions"."downloaded" IS 'Something was downloaded';
COMMENT ON COLUMN "tilkee"."connexions"."signed" IS 'Something was signed';
COMMENT ON COLUMN "tilkee"."connexions"."new_person" IS 'Upstream takes the visitor for a new person';
COMMENT ON COLUMN "tilkee"."connexions"."platform_id" IS 'Id of the visitor''s device';
COMMENT ON COLUMN "tilkee"."connexions"."device_type" IS 'Kind of device: desktop, ...';
COMMENT ON COLUMN "tilkee"."connexions"."device_number" IS 'Upstream device_number, without a published meaning';
COMMENT ON COLUMN "tilkee"."connexions"."browser" IS 'Name of the browser';
COMMENT ON COLUMN "tilkee"."connexions"."os" IS 'Operating system';
COMMENT ON COLUMN "tilkee"."connexions"."ip" IS 'IP address of the visitor; stored only with STORE_VISITOR_PII=true';
COMMENT ON COLUMN "tilkee"."connexions"."user_agent" IS 'Browser of the visitor; stored only with STORE_VISITOR_PII=true';
COMMENT ON COLUMN "tilkee"."connexions"."most_visited_time" IS 'Time spent on the document read longest, as upstream: milliseconds presumably';
COMMENT ON COLUMN "tilkee"."connexions"."most_visited_title" IS 'Title of that document';
COMMENT ON COLUMN "tilkee"."connexions"."most_visited_id" IS 'Id of that document';
COMMENT ON COLUMN "tilkee"."connexions"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tilkee"."connexions"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tilkee"."connexions"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tilkee"."connexions"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."deleted_at" IS 'Null: alive. Otherwise when a full sync no longer saw it (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tilkee"."connexions"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "tilkee"."users" (
  "connection_id" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "first_name" TEXT,
  "last_name" TEXT,
  "full_name" TEXT,
  "email" TEXT,
  "phone_number" TEXT,
  "cell_phone_number" TEXT,
  "contact_email" TEXT,
  "level_id" TEXT,
  "is_owner" BOOLEAN,
  "can_see_stats" BOOLEAN,
  "locale" TEXT,
  "position" TEXT,
  "company_id" TEXT,
  "company_name" TEXT,
  "default_theme_id" TEXT,
  "sf_id" TEXT,
  "last_sign_in_at" TIMESTAMPTZ(3),
  "created_at" TIMESTAMPTZ(3),
  "updated_at" TIMESTAMPTZ(3),
  "raw" JSONB NOT NULL,
  "content_hash" TEXT NOT NULL,
  "text_repaired" BOOLEAN NOT NULL DEFAULT false,
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "synced_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "deleted_at" TIMESTAMPTZ(3),
  "run_id" BIGINT NOT NULL,
  "erased_at" timestamptz(3),

  CONSTRAINT "users_pkey" PRIMARY KEY ("connection_id","id")
);
COMMENT ON TABLE "tilkee"."users" IS 'Colleague accounts of a Tilkee company.';
COMMENT ON COLUMN "tilkee"."users"."connection_id" IS 'Configured account: tilkee:default';
COMMENT ON COLUMN "tilkee"."users"."id" IS 'Upstream id';
COMMENT ON COLUMN "tilkee"."users"."first_name" IS 'First name';
COMMENT ON COLUMN "tilkee"."users"."last_name" IS 'Last name';
COMMENT ON COLUMN "tilkee"."users"."full_name" IS 'Full name';
COMMENT ON COLUMN "tilkee"."users"."email" IS 'E-mail address';
COMMENT ON COLUMN "tilkee"."users"."phone_number" IS 'Phone number as given, not validated';
COMMENT ON COLUMN "tilkee"."users"."cell_phone_number" IS 'Mobile phone number as given, not validated';
COMMENT ON COLUMN "tilkee"."users"."contact_email" IS 'E-mail address that readers see';
COMMENT ON COLUMN "tilkee"."users"."level_id" IS 'Upstream level_id: the rank of the account';
COMMENT ON COLUMN "tilkee"."users"."is_owner" IS 'Owner of the company account';
COMMENT ON COLUMN "tilkee"."users"."can_see_stats" IS 'May see statistics';
COMMENT ON COLUMN "tilkee"."users"."locale" IS 'Language';
COMMENT ON COLUMN "tilkee"."users"."position" IS 'Job title';
COMMENT ON COLUMN "tilkee"."users"."company_id" IS 'Id of the company';
COMMENT ON COLUMN "tilkee"."users"."company_name" IS 'Name of the company';
COMMENT ON COLUMN "tilkee"."users"."default_theme_id" IS 'Id of the look that new projects get';
COMMENT ON COLUMN "tilkee"."users"."sf_id" IS 'Id in Salesforce';
COMMENT ON COLUMN "tilkee"."users"."last_sign_in_at" IS 'Last sign-in (UTC; upstream: seconds since 1970)';
COMMENT ON COLUMN "tilkee"."users"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tilkee"."users"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tilkee"."users"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tilkee"."users"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tilkee"."users"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tilkee"."users"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tilkee"."users"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tilkee"."users"."deleted_at" IS 'Null: alive. Upstream''s own deleted_at, or the time when a full sync no longer saw it';
COMMENT ON COLUMN "tilkee"."users"."run_id" IS 'Run that wrote this version: sync.runs.id';
COMMENT ON COLUMN "tilkee"."users"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE IF NOT EXISTS "sync"."streams" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "enabled" BOOLEAN NOT NULL DEFAULT true,
  "paused_at" TIMESTAMPTZ(3),
  "capabilities" JSONB NOT NULL DEFAULT '{}',
  "fresh_within_seconds" INTEGER NOT NULL DEFAULT 900,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "notice" TEXT,
  "deletions_accepted_at" TIMESTAMPTZ(3),
  "credential" TEXT,
  "resync_asked_at" TIMESTAMPTZ(3),
  "next_due_at" TIMESTAMPTZ(3),
  "interval_seconds" DOUBLE PRECISION,
  "changed_at" TIMESTAMPTZ(3),
  "pass_requests" DOUBLE PRECISION,

  CONSTRAINT "streams_pkey" PRIMARY KEY ("connection_id","stream")
);
COMMENT ON TABLE "sync"."streams" IS 'Streams that were configured at any time, with what was learnt about their server.';
COMMENT ON COLUMN "sync"."streams"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."streams"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."streams"."enabled" IS 'Part of the configuration that started last';
COMMENT ON COLUMN "sync"."streams"."paused_at" IS 'Set while a person paused the stream (UTC)';
COMMENT ON COLUMN "sync"."streams"."capabilities" IS 'Facts found out about the server once, by name';
COMMENT ON COLUMN "sync"."streams"."fresh_within_seconds" IS 'A stream is fresh when its last complete incremental pass is younger than this';
COMMENT ON COLUMN "sync"."streams"."created_at" IS 'First configured (UTC)';
COMMENT ON COLUMN "sync"."streams"."updated_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "sync"."streams"."notice" IS 'What people should know about how this stream is read; null: nothing out of the ordinary';
COMMENT ON COLUMN "sync"."streams"."deletions_accepted_at" IS 'A person accepted the deletions that the deletion guard blocks (UTC); used up by the next full sync';
COMMENT ON COLUMN "sync"."streams"."credential" IS 'The budget that its requests are paid from: sync.budgets.credential';
COMMENT ON COLUMN "sync"."streams"."resync_asked_at" IS 'A person asked for a full re-read from zero (UTC); pending while the backfill is not complete';
COMMENT ON COLUMN "sync"."streams"."next_due_at" IS 'The next incremental pass is due then (UTC), where that is before the next tick of the schedule; null: with that tick';
COMMENT ON COLUMN "sync"."streams"."interval_seconds" IS 'Seconds between the last incremental pass and that one: the interval follows what changes; null: the schedule decides';
COMMENT ON COLUMN "sync"."streams"."changed_at" IS 'Something last changed in it then (UTC), as far as its runs that are kept saw; null: nothing did';
COMMENT ON COLUMN "sync"."streams"."pass_requests" IS 'Requests that an incremental pass costs: what the last one sent, those after the first a quarter where it brought changes, at most twice what the one before cost; null: none was counted';

CREATE TABLE IF NOT EXISTS "sync"."privacy" (
  "id" integer NOT NULL,
  "epoch" bigint NOT NULL DEFAULT 0,
  "journal_id" uuid,
  "journal_hash" text,
  CONSTRAINT "privacy_pkey" PRIMARY KEY ("id")
);
COMMENT ON TABLE "sync"."privacy" IS 'One row: how many erasures there were, and where their journal stands';
COMMENT ON COLUMN "sync"."privacy"."id" IS 'Always 1';
COMMENT ON COLUMN "sync"."privacy"."epoch" IS 'Grows with every erasure';
COMMENT ON COLUMN "sync"."privacy"."journal_id" IS 'Names the journal; null before the first erasure';
COMMENT ON COLUMN "sync"."privacy"."journal_hash" IS 'Digest of the last line of the journal that this database knows';
INSERT INTO "sync"."privacy" ("id") VALUES (1) ON CONFLICT DO NOTHING;

-- The lock makes an erasure wait for checkpoints that are being made: it sees, and moves, all of them.
CREATE OR REPLACE FUNCTION "sync"."current_privacy_epoch"() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT epoch FROM sync.privacy WHERE id = 1 FOR SHARE
$$;
COMMENT ON FUNCTION "sync"."current_privacy_epoch"() IS 'The epoch that a new checkpoint begins with';

CREATE TABLE IF NOT EXISTS "sync"."suppressions" (
  "connection_id" text NOT NULL,
  "hash" bytea NOT NULL,
  "erasure_id" uuid NOT NULL,
  "kind" text NOT NULL,
  "stream" text,
  "created_at" timestamptz(3),
  "until" timestamptz(3),
  CONSTRAINT "suppressions_pkey" PRIMARY KEY ("connection_id", "hash", "erasure_id")
);
CREATE INDEX IF NOT EXISTS "suppressions_erasure_id_idx" ON "sync"."suppressions" ("erasure_id");
COMMENT ON TABLE "sync"."suppressions" IS 'What must not come back: rows, addresses and numbers of persons who were erased, as keyed hashes';
COMMENT ON COLUMN "sync"."suppressions"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."suppressions"."hash" IS 'First 16 bytes of the HMAC-SHA256 of what is suppressed; the key is in sync.secrets';
COMMENT ON COLUMN "sync"."suppressions"."erasure_id" IS 'sync.erasures.id';
COMMENT ON COLUMN "sync"."suppressions"."kind" IS 'row, address or number';
COMMENT ON COLUMN "sync"."suppressions"."stream" IS 'Source and kind of a row: tiledesk.leads; null: an address or a number';
COMMENT ON COLUMN "sync"."suppressions"."created_at" IS 'When the row was created upstream (UTC); null: not known, or no row';
COMMENT ON COLUMN "sync"."suppressions"."until" IS 'Holds for what was created until then (UTC); null: for ever';

CREATE TABLE IF NOT EXISTS "sync"."erasures" (
  "id" uuid NOT NULL,
  "reason" text NOT NULL,
  "reference" text,
  "actor" text NOT NULL,
  "state" text NOT NULL,
  "requested_at" timestamptz(3) NOT NULL,
  "ended_at" timestamptz(3),
  "counts" jsonb NOT NULL DEFAULT '{}',
  "residue" jsonb NOT NULL DEFAULT '{}',
  "plan" bytea,
  CONSTRAINT "erasures_pkey" PRIMARY KEY ("id")
);
COMMENT ON TABLE "sync"."erasures" IS 'Erasures of persons: what was asked for, and how it ended. No names';
COMMENT ON COLUMN "sync"."erasures"."id" IS 'Also in the journal';
COMMENT ON COLUMN "sync"."erasures"."reason" IS 'request, objection, upstream or retention';
COMMENT ON COLUMN "sync"."erasures"."reference" IS 'The caller''s own reference, such as the number of a ticket';
COMMENT ON COLUMN "sync"."erasures"."actor" IS 'Host and process that began it';
COMMENT ON COLUMN "sync"."erasures"."state" IS 'erasing, done, residue or lifted';
COMMENT ON COLUMN "sync"."erasures"."requested_at" IS 'Asked for (UTC): what was created later is not erased, unless it was an objection';
COMMENT ON COLUMN "sync"."erasures"."ended_at" IS 'Ended (UTC); null: not yet';
COMMENT ON COLUMN "sync"."erasures"."counts" IS 'Rows by table';
COMMENT ON COLUMN "sync"."erasures"."residue" IS 'Rows by table in which the person was found afterwards';
COMMENT ON COLUMN "sync"."erasures"."plan" IS 'What is still to be done, encrypted with LEADMIRROR_SECRET_KEY; null once it ended';

-- Rows whose texts were removed because they were kept for long enough; a page does not bring the texts back.
CREATE TABLE IF NOT EXISTS "sync"."erased_texts" (
  "connection_id" text NOT NULL,
  "stream" text NOT NULL,
  "id" text NOT NULL,
  "until" timestamptz(3) NOT NULL,
  "removed_at" timestamptz(3),
  CONSTRAINT "erased_texts_pkey" PRIMARY KEY ("connection_id", "stream", "id")
);
COMMENT ON TABLE "sync"."erased_texts" IS 'Rows whose texts a rule of retention removed: no page brings them back';
COMMENT ON COLUMN "sync"."erased_texts"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."erased_texts"."stream" IS 'Source and kind: tiledesk.requests; also the name of the mirrored table';
COMMENT ON COLUMN "sync"."erased_texts"."id" IS 'Id of the row, or a key under which other rows refer to it';
COMMENT ON COLUMN "sync"."erased_texts"."until" IS 'Rows that refer to it and were created until then lose their texts, too (UTC)';
COMMENT ON COLUMN "sync"."erased_texts"."removed_at" IS 'The texts are gone since then (UTC); null: the next round of retention removes them';

CREATE TABLE IF NOT EXISTS "sync"."checkpoints" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "pass" TEXT NOT NULL,
  "watermark" JSONB,
  "walked_at" JSONB,
  "cursor" JSONB,
  "lease_token" BIGINT NOT NULL DEFAULT 0,
  "lease_until" TIMESTAMPTZ(3),
  "lease_owner" TEXT,
  "run_id" BIGINT,
  "started_at" TIMESTAMPTZ(3),
  "completed_at" TIMESTAMPTZ(3),
  "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "newest_change" TIMESTAMPTZ(3),
  "yielded_run_id" BIGINT,
  "privacy_epoch" bigint NOT NULL DEFAULT sync.current_privacy_epoch(),

  CONSTRAINT "checkpoints_pkey" PRIMARY KEY ("connection_id","stream","pass")
);
COMMENT ON TABLE "sync"."checkpoints" IS 'Stored progress, one row per stream and pass; also the lease that lets one run at a time write it.';
COMMENT ON COLUMN "sync"."checkpoints"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."checkpoints"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."checkpoints"."pass" IS 'backfill, incremental, reconcile, count or verify';
COMMENT ON COLUMN "sync"."checkpoints"."watermark" IS 'Greatest upstream change time safely stored, by list (UTC); only the incremental pass has one';
COMMENT ON COLUMN "sync"."checkpoints"."walked_at" IS 'The server''s time when each list was last read to its stop, by list (UTC)';
COMMENT ON COLUMN "sync"."checkpoints"."cursor" IS 'Where the unfinished walk stands; null when none is under way';
COMMENT ON COLUMN "sync"."checkpoints"."lease_token" IS 'Grows with every taker; a page is only written with the current one';
COMMENT ON COLUMN "sync"."checkpoints"."lease_until" IS 'The holder''s time is up then, by this database''s clock; null when free';
COMMENT ON COLUMN "sync"."checkpoints"."lease_owner" IS 'Host and process of the holder';
COMMENT ON COLUMN "sync"."checkpoints"."run_id" IS 'Run of the current or last holder: sync.runs.id';
COMMENT ON COLUMN "sync"."checkpoints"."started_at" IS 'The walk under way began (UTC)';
COMMENT ON COLUMN "sync"."checkpoints"."completed_at" IS 'A walk of this pass last ended complete (UTC)';
COMMENT ON COLUMN "sync"."checkpoints"."updated_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "sync"."checkpoints"."newest_change" IS 'Newest change that a full sync saw, by the dates of the rows, never later than the server''s clock (UTC)';
COMMENT ON COLUMN "sync"."checkpoints"."yielded_run_id" IS 'The run that lets others have their turn and then goes on: sync.runs.id; null when none does';
COMMENT ON COLUMN "sync"."checkpoints"."privacy_epoch" IS 'Grows with every erasure that concerns the account; a page that was prepared before it is not written';

CREATE TABLE IF NOT EXISTS "sync"."runs" (
  "id" BIGSERIAL NOT NULL,
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "pass" TEXT NOT NULL,
  "outcome" TEXT,
  "requests" INTEGER NOT NULL DEFAULT 0,
  "pages" INTEGER NOT NULL DEFAULT 0,
  "read" INTEGER NOT NULL DEFAULT 0,
  "created" INTEGER NOT NULL DEFAULT 0,
  "updated" INTEGER NOT NULL DEFAULT 0,
  "unchanged" INTEGER NOT NULL DEFAULT 0,
  "deleted" INTEGER NOT NULL DEFAULT 0,
  "quarantined" INTEGER NOT NULL DEFAULT 0,
  "idle_runs" INTEGER NOT NULL DEFAULT 0,
  "watermark" JSONB,
  "error_code" TEXT,
  "error_message" TEXT,
  "worker" TEXT,
  "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "ended_at" TIMESTAMPTZ(3),

  CONSTRAINT "runs_pkey" PRIMARY KEY ("id")
);
CREATE INDEX IF NOT EXISTS "runs_connection_id_stream_pass_id_idx" ON "sync"."runs"("connection_id", "stream", "pass", "id" DESC);
CREATE INDEX IF NOT EXISTS "runs_started_at_idx" ON "sync"."runs"("started_at");
COMMENT ON TABLE "sync"."runs" IS 'One row per run; runs in a row that found nothing new are folded into idle_runs of the first of them.';
COMMENT ON COLUMN "sync"."runs"."id" IS 'Grows with time';
COMMENT ON COLUMN "sync"."runs"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."runs"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."runs"."pass" IS 'backfill, incremental, reconcile, count or verify';
COMMENT ON COLUMN "sync"."runs"."outcome" IS 'succeeded, partial, failed, postponed or cancelled; null while it runs';
COMMENT ON COLUMN "sync"."runs"."requests" IS 'HTTP requests for the stream''s lists, retries included; sign-in and role check belong to the connection';
COMMENT ON COLUMN "sync"."runs"."pages" IS 'Pages written';
COMMENT ON COLUMN "sync"."runs"."read" IS 'Records read';
COMMENT ON COLUMN "sync"."runs"."created" IS 'Rows new in the mirror';
COMMENT ON COLUMN "sync"."runs"."updated" IS 'Rows changed in the mirror';
COMMENT ON COLUMN "sync"."runs"."unchanged" IS 'Rows already there in this version';
COMMENT ON COLUMN "sync"."runs"."deleted" IS 'Rows marked deleted';
COMMENT ON COLUMN "sync"."runs"."quarantined" IS 'Records quarantined: sync.quarantine';
COMMENT ON COLUMN "sync"."runs"."idle_runs" IS 'Runs since this one that found nothing new and are not listed themselves';
COMMENT ON COLUMN "sync"."runs"."watermark" IS 'The watermark after the run, by list (UTC)';
COMMENT ON COLUMN "sync"."runs"."error_code" IS 'Why the run ended other than succeeded: a stable code';
COMMENT ON COLUMN "sync"."runs"."error_message" IS 'The same, human-readable';
COMMENT ON COLUMN "sync"."runs"."worker" IS 'Host and process';
COMMENT ON COLUMN "sync"."runs"."started_at" IS 'Began (UTC)';
COMMENT ON COLUMN "sync"."runs"."ended_at" IS 'Ended (UTC), folded idle runs included';

CREATE TABLE IF NOT EXISTS "sync"."budgets" (
  "credential" TEXT NOT NULL,
  "base_spacing_ms" DOUBLE PRECISION NOT NULL,
  "spacing_ms" DOUBLE PRECISION NOT NULL,
  "next_free_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "blocked_until" TIMESTAMPTZ(3),
  "blocked_reason" TEXT,
  "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "fast_free_at" TIMESTAMPTZ(6),
  "fast_busy_until" TIMESTAMPTZ(6),
  "bulk_busy_until" TIMESTAMPTZ(6),
  "learnt_spacing_ms" DOUBLE PRECISION,
  "learnt_limit" INTEGER,
  "learnt_at" TIMESTAMPTZ(3),
  "failures" INTEGER NOT NULL DEFAULT 0,
  "failing_since" TIMESTAMPTZ(3),
  "failure_reason" TEXT,
  "opened_at" TIMESTAMPTZ(6),
  "wake_at" TIMESTAMPTZ(6),
  "probes" INTEGER NOT NULL DEFAULT 0,
  "probe_until" TIMESTAMPTZ(6),
  "requests" BIGINT NOT NULL DEFAULT 0,
  "refused_at" TIMESTAMPTZ(3),
  "refused_code" TEXT,
  "refused_message" TEXT,
  "refused_digest" TEXT,
  "version" BIGINT NOT NULL DEFAULT 0,
  "retried_digest" TEXT,
  "day_limit" INTEGER,
  "day_requests" INTEGER NOT NULL DEFAULT 0,
  "day_ends_at" TIMESTAMPTZ(3),

  CONSTRAINT "budgets_pkey" PRIMARY KEY ("credential")
);
COMMENT ON TABLE "sync"."budgets" IS 'The request budget and the circuit, one row per credential, shared by all processes on all machines.';
COMMENT ON COLUMN "sync"."budgets"."credential" IS 'Server and a digest of the account''s name; no secret';
COMMENT ON COLUMN "sync"."budgets"."base_spacing_ms" IS 'Configured milliseconds between two requests';
COMMENT ON COLUMN "sync"."budgets"."spacing_ms" IS 'Milliseconds between two requests now; larger after a refusal without guidance';
COMMENT ON COLUMN "sync"."budgets"."next_free_at" IS 'Theoretical time of the next request; up to burst requests may run ahead of it';
COMMENT ON COLUMN "sync"."budgets"."blocked_until" IS 'No request is sent before then (UTC)';
COMMENT ON COLUMN "sync"."budgets"."blocked_reason" IS 'Why: a stable code';
COMMENT ON COLUMN "sync"."budgets"."updated_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "sync"."budgets"."fast_free_at" IS 'The same for the fifth that is the fast lane''s, and of which bulk takes what is unused; null: as next_free_at';
COMMENT ON COLUMN "sync"."budgets"."fast_busy_until" IS 'A request of the fast lane waits until about then, and the next may follow it (UTC); bulk keeps off its fifth meanwhile';
COMMENT ON COLUMN "sync"."budgets"."bulk_busy_until" IS 'A request of the bulk lane waits, or was postponed, until then (UTC)';
COMMENT ON COLUMN "sync"."budgets"."learnt_spacing_ms" IS 'Milliseconds between two requests by the limit that the server announced; null: none that is lower than configured';
COMMENT ON COLUMN "sync"."budgets"."learnt_limit" IS 'That limit, requests in one window of the server''s';
COMMENT ON COLUMN "sync"."budgets"."learnt_at" IS 'Last noted (UTC); it counts for an hour';
COMMENT ON COLUMN "sync"."budgets"."failures" IS 'Failed requests in a row, by broken connection, time-out or 5xx';
COMMENT ON COLUMN "sync"."budgets"."failing_since" IS 'The first of them (UTC)';
COMMENT ON COLUMN "sync"."budgets"."failure_reason" IS 'The last of them: network, timeout or a status';
COMMENT ON COLUMN "sync"."budgets"."opened_at" IS 'The circuit is open since then (UTC); null: closed';
COMMENT ON COLUMN "sync"."budgets"."wake_at" IS 'While open: no request is sent before then, but for one probe afterwards (UTC)';
COMMENT ON COLUMN "sync"."budgets"."probes" IS 'Probes since it opened';
COMMENT ON COLUMN "sync"."budgets"."probe_until" IS 'A probe is out, and given up then (UTC)';
COMMENT ON COLUMN "sync"."budgets"."requests" IS 'Requests granted so far';
COMMENT ON COLUMN "sync"."budgets"."refused_at" IS 'The upstream refused the credential then (UTC); it is not tried again for 15 minutes. Null: not refused';
COMMENT ON COLUMN "sync"."budgets"."refused_code" IS 'Error code of the refusal';
COMMENT ON COLUMN "sync"."budgets"."refused_message" IS 'What happened and what to do, without the credential';
COMMENT ON COLUMN "sync"."budgets"."refused_digest" IS 'scrypt of the refused secret: another one in the configuration is tried at once';
COMMENT ON COLUMN "sync"."budgets"."version" IS 'Raised by every change; a process that decided on an older one decides again';
COMMENT ON COLUMN "sync"."budgets"."retried_digest" IS 'refused_digest of the secret that a person''s run tried once more while it was refused: the same one is not tried so again. Null: none';
COMMENT ON COLUMN "sync"."budgets"."day_limit" IS 'Requests that one day may have, in all processes; null: no such limit';
COMMENT ON COLUMN "sync"."budgets"."day_requests" IS 'Requests granted in the day that ends at day_ends_at';
COMMENT ON COLUMN "sync"."budgets"."day_ends_at" IS 'End of that day (UTC), midnight in SYNC_TIMEZONE; null: none was counted';

CREATE TABLE IF NOT EXISTS "sync"."quarantine" (
  "id" BIGSERIAL NOT NULL,
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "record_id" TEXT NOT NULL,
  "reason" TEXT NOT NULL,
  "raw_text" TEXT NOT NULL,
  "run_id" BIGINT NOT NULL,
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "last_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "resolved_at" TIMESTAMPTZ(3),
  "detail" JSONB,

  CONSTRAINT "quarantine_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX IF NOT EXISTS "quarantine_connection_id_stream_record_id_key" ON "sync"."quarantine"("connection_id", "stream", "record_id");
COMMENT ON TABLE "sync"."quarantine" IS 'Records that could not be mapped or written, with the reason.';
COMMENT ON COLUMN "sync"."quarantine"."id" IS 'Grows with time';
COMMENT ON COLUMN "sync"."quarantine"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."quarantine"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."quarantine"."record_id" IS 'Upstream id; for a record without a usable one, a digest of its text';
COMMENT ON COLUMN "sync"."quarantine"."reason" IS 'A stable code';
COMMENT ON COLUMN "sync"."quarantine"."raw_text" IS 'The record as received';
COMMENT ON COLUMN "sync"."quarantine"."run_id" IS 'Run that saw it last: sync.runs.id';
COMMENT ON COLUMN "sync"."quarantine"."first_seen_at" IS 'First seen (UTC)';
COMMENT ON COLUMN "sync"."quarantine"."last_seen_at" IS 'Last seen (UTC)';
COMMENT ON COLUMN "sync"."quarantine"."resolved_at" IS 'Written after all, or gone (UTC); null while open';
COMMENT ON COLUMN "sync"."quarantine"."detail" IS 'Where it failed, without any value: sqlstate, table, column, constraint of what the database refused; the field that has no usable id; the kind of error of the mapping. Null: not known';

CREATE TABLE IF NOT EXISTS "sync"."secrets" (
  "name" TEXT NOT NULL,
  "payload" BYTEA,
  "locked_until" TIMESTAMPTZ(3),
  "lock_token" BIGINT NOT NULL DEFAULT 0,
  "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

  CONSTRAINT "secrets_pkey" PRIMARY KEY ("name")
);
COMMENT ON TABLE "sync"."secrets" IS 'What an upstream hands out and must not be lost (refresh tokens), shared by all processes, and the lock under which it is renewed.';
COMMENT ON COLUMN "sync"."secrets"."name" IS 'Whose secret: server and a digest of the account''s name';
COMMENT ON COLUMN "sync"."secrets"."payload" IS 'Encrypted with LEADMIRROR_SECRET_KEY; null: nothing kept';
COMMENT ON COLUMN "sync"."secrets"."locked_until" IS 'The renewer''s time is up then, by this database''s clock; null when free';
COMMENT ON COLUMN "sync"."secrets"."lock_token" IS 'Grows with every taker; a secret is only written with the current one';
COMMENT ON COLUMN "sync"."secrets"."updated_at" IS 'Last time this row was written (UTC)';

CREATE TABLE IF NOT EXISTS "sync"."seen_ids" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "pass" TEXT NOT NULL,
  "list" TEXT NOT NULL,
  "id" TEXT NOT NULL,

  CONSTRAINT "seen_ids_pkey" PRIMARY KEY ("connection_id","stream","pass","id","list")
);
COMMENT ON TABLE "sync"."seen_ids" IS 'Ids that the full sync under way of an unsorted list has seen.';
COMMENT ON COLUMN "sync"."seen_ids"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."seen_ids"."stream" IS 'Source and kind: tilkee.tokens';
COMMENT ON COLUMN "sync"."seen_ids"."pass" IS 'backfill, reconcile, count or verify';
COMMENT ON COLUMN "sync"."seen_ids"."list" IS 'The list inside the stream';
COMMENT ON COLUMN "sync"."seen_ids"."id" IS 'Upstream id';

CREATE TABLE IF NOT EXISTS "sync"."schema_drift" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "path" TEXT NOT NULL,
  "kind" TEXT NOT NULL,
  "types" TEXT[],
  "seen_count" BIGINT NOT NULL DEFAULT 0,
  "record_ids" TEXT[],
  "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "last_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "run_id" BIGINT NOT NULL,

  CONSTRAINT "schema_drift_pkey" PRIMARY KEY ("connection_id","stream","path","kind")
);
COMMENT ON TABLE "sync"."schema_drift" IS 'Fields never seen before (new_field), or of another type than known (other_type); no values.';
COMMENT ON COLUMN "sync"."schema_drift"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."schema_drift"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."schema_drift"."path" IS 'Where the field is inside the record, as names joined with dots';
COMMENT ON COLUMN "sync"."schema_drift"."kind" IS 'new_field or other_type';
COMMENT ON COLUMN "sync"."schema_drift"."types" IS 'JSON types seen there';
COMMENT ON COLUMN "sync"."schema_drift"."seen_count" IS 'Records that had it';
COMMENT ON COLUMN "sync"."schema_drift"."record_ids" IS 'Ids of some of these records';
COMMENT ON COLUMN "sync"."schema_drift"."first_seen_at" IS 'First seen (UTC)';
COMMENT ON COLUMN "sync"."schema_drift"."last_seen_at" IS 'Last seen (UTC)';
COMMENT ON COLUMN "sync"."schema_drift"."run_id" IS 'Run that saw it last: sync.runs.id';

CREATE TABLE IF NOT EXISTS "sync"."verifications" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "verified_at" TIMESTAMPTZ(3) NOT NULL,
  "upstream_rows" BIGINT NOT NULL,
  "compared_rows" BIGINT NOT NULL,
  "missing" INTEGER NOT NULL,
  "stale" INTEGER NOT NULL,
  "extra" INTEGER NOT NULL,
  "different" INTEGER NOT NULL,
  "repaired" INTEGER NOT NULL,
  "started_at" TIMESTAMPTZ(3) NOT NULL,

  CONSTRAINT "verifications_pkey" PRIMARY KEY ("connection_id","stream")
);
COMMENT ON TABLE "sync"."verifications" IS 'The last verify of each stream: the mirror compared with the upstream, row by row.';
COMMENT ON COLUMN "sync"."verifications"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."verifications"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."verifications"."verified_at" IS 'The comparison ended (UTC)';
COMMENT ON COLUMN "sync"."verifications"."upstream_rows" IS 'Rows that the upstream listed; all of them were compared by id and version';
COMMENT ON COLUMN "sync"."verifications"."compared_rows" IS 'Those of them that were compared by content too';
COMMENT ON COLUMN "sync"."verifications"."missing" IS 'Rows upstream that the mirror did not have';
COMMENT ON COLUMN "sync"."verifications"."stale" IS 'Rows of which the mirror had an older version';
COMMENT ON COLUMN "sync"."verifications"."extra" IS 'Alive rows of the mirror that the upstream did not have';
COMMENT ON COLUMN "sync"."verifications"."different" IS 'Rows of the same version with other content';
COMMENT ON COLUMN "sync"."verifications"."repaired" IS 'Of all these, put right by the same verify';
COMMENT ON COLUMN "sync"."verifications"."started_at" IS 'The comparison began (UTC)';

CREATE TABLE IF NOT EXISTS "sync"."processes" (
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
  "config_hash" TEXT,
  "connections" TEXT[] DEFAULT ARRAY[]::TEXT[],

  CONSTRAINT "processes_pkey" PRIMARY KEY ("id")
);
COMMENT ON TABLE "sync"."processes" IS 'Daemon processes: signs of life, by the database''s clock; removed at a clean stop, and after a day without one.';
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
COMMENT ON COLUMN "sync"."processes"."config_hash" IS 'Digest of the accounts and streams that its configuration names; other processes should have the same';
COMMENT ON COLUMN "sync"."processes"."connections" IS 'Accounts that its configuration names';

CREATE TABLE IF NOT EXISTS "sync"."alerts" (
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
  "reason_code" TEXT NOT NULL DEFAULT '',

  CONSTRAINT "alerts_pkey" PRIMARY KEY ("connection_id","stream","kind")
);
COMMENT ON TABLE "sync"."alerts" IS 'What is wrong and has to be reported: one row per connection, stream and kind, from when it was first seen on.';
COMMENT ON COLUMN "sync"."alerts"."connection_id" IS 'Configured account; for circuit_open the credential: sync.budgets.credential';
COMMENT ON COLUMN "sync"."alerts"."stream" IS 'Source and kind: tiledesk.leads; empty when it is about the whole account';
COMMENT ON COLUMN "sync"."alerts"."kind" IS 'stale, blocked, deletion_brake, suddenly_empty, circuit_open, quarantine_growing or verify_differences';
COMMENT ON COLUMN "sync"."alerts"."reason" IS 'Why, human-readable';
COMMENT ON COLUMN "sync"."alerts"."is_seen" IS 'True when the last round saw it';
COMMENT ON COLUMN "sync"."alerts"."seen_since" IS 'It has been so (seen, or not seen any more) since then (UTC)';
COMMENT ON COLUMN "sync"."alerts"."since" IS 'What it is about began (UTC); null: not known';
COMMENT ON COLUMN "sync"."alerts"."opened_at" IS 'It had lasted long enough to be reported (UTC); null: not yet';
COMMENT ON COLUMN "sync"."alerts"."closed_at" IS 'It had been over long enough to be reported (UTC); null: not over';
COMMENT ON COLUMN "sync"."alerts"."notified_at" IS 'A message about the last change was delivered (UTC); null: not yet';
COMMENT ON COLUMN "sync"."alerts"."message_id" IS 'Last message that tells of it: sync.alert_messages.id';
COMMENT ON COLUMN "sync"."alerts"."reason_code" IS 'The reason as a stable code; alerts of one kind with the same code are reported as one';

CREATE TABLE IF NOT EXISTS "sync"."alert_messages" (
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
CREATE INDEX IF NOT EXISTS "alert_messages_channel_number_idx" ON "sync"."alert_messages"("channel", "number");
COMMENT ON TABLE "sync"."alert_messages" IS 'Messages about alerts, written in the same transaction as the change they tell of, and sent until they are delivered.';
COMMENT ON COLUMN "sync"."alert_messages"."id" IS 'Sent along, so that a receiver can tell a repetition';
COMMENT ON COLUMN "sync"."alert_messages"."channel" IS 'webhook or email';
COMMENT ON COLUMN "sync"."alert_messages"."number" IS 'Grows with time: messages of a channel are sent in this order';
COMMENT ON COLUMN "sync"."alert_messages"."body" IS 'What is reported; no personal data';
COMMENT ON COLUMN "sync"."alert_messages"."created_at" IS 'Written (UTC)';
COMMENT ON COLUMN "sync"."alert_messages"."attempts" IS 'Tries so far, the one under way included';
COMMENT ON COLUMN "sync"."alert_messages"."next_attempt_at" IS 'Not tried again before then (UTC); also how long a try under way is not repeated';
COMMENT ON COLUMN "sync"."alert_messages"."delivered_at" IS 'Accepted by the receiver (UTC)';
COMMENT ON COLUMN "sync"."alert_messages"."given_up_at" IS 'Not tried any more since then (UTC)';
COMMENT ON COLUMN "sync"."alert_messages"."last_error" IS 'Why the last try failed, human-readable';

CREATE TABLE IF NOT EXISTS "sync"."alert_rounds" (
  "id" INTEGER NOT NULL,
  "evaluated_at" TIMESTAMPTZ(3) NOT NULL,

  CONSTRAINT "alert_rounds_pkey" PRIMARY KEY ("id")
);
COMMENT ON TABLE "sync"."alert_rounds" IS 'One row: when the alerts were last looked at, so that many processes do it once.';
COMMENT ON COLUMN "sync"."alert_rounds"."id" IS 'Always 1';
COMMENT ON COLUMN "sync"."alert_rounds"."evaluated_at" IS 'The last round began (UTC)';

CREATE TABLE IF NOT EXISTS "sync"."ended_sessions" (
  "id" TEXT NOT NULL,
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "ended_sessions_pkey" PRIMARY KEY ("id")
);
COMMENT ON TABLE "sync"."ended_sessions" IS 'Sessions of the status page that were signed out before they expired';
COMMENT ON COLUMN "sync"."ended_sessions"."id" IS 'Random number of the session; useless without its signature';
COMMENT ON COLUMN "sync"."ended_sessions"."expires_at" IS 'When it would have expired (UTC); afterwards the row is removed';

CREATE TABLE IF NOT EXISTS "sync"."count_checks" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "unexplained_at" TIMESTAMPTZ(3),
  "unexplained" BIGINT,
  "offsets" JSONB NOT NULL DEFAULT '[]',
  "offsets_at" TIMESTAMPTZ(3),
  "refused_until" TIMESTAMPTZ(3),
  CONSTRAINT "count_checks_pkey" PRIMARY KEY ("connection_id", "stream"),
  "left_out" JSONB NOT NULL DEFAULT '[]'
);
COMMENT ON TABLE "sync"."count_checks" IS 'What the count checks of each stream found: the mirror''s alive rows compared with the number that the upstream reports.';
COMMENT ON COLUMN "sync"."count_checks"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."count_checks"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."count_checks"."unexplained_at" IS 'A difference that no row explains was seen then (UTC), and a full sync is needed; null: none';
COMMENT ON COLUMN "sync"."count_checks"."unexplained" IS 'That difference: rows that the upstream counts less those that the mirror should have';
COMMENT ON COLUMN "sync"."count_checks"."offsets" IS 'Rows that the upstream counts and does not list, by list and window; found after a full sync, and only used until the next one';
COMMENT ON COLUMN "sync"."count_checks"."offsets_at" IS 'They were found then (UTC)';
COMMENT ON COLUMN "sync"."count_checks"."refused_until" IS 'The upstream reported a wrong count: its counts are not used before then (UTC)';
COMMENT ON COLUMN "sync"."count_checks"."left_out" IS 'When those rows were created (ms since 1970) that the upstream was seen to have and that are not written, because their person was erased';

-- Accounts without a file: settings here, what is secret encrypted in sync.secrets.
CREATE TABLE IF NOT EXISTS "sync"."connections" (
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

CREATE TABLE IF NOT EXISTS "sync"."account_names" (
  "connection_id" TEXT NOT NULL,
  "name" TEXT NOT NULL,

  CONSTRAINT "account_names_pkey" PRIMARY KEY ("connection_id")
);
COMMENT ON TABLE "sync"."account_names" IS 'What an account is called upstream, such as the name of a Tiledesk project; shown where it has no label';
COMMENT ON COLUMN "sync"."account_names"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."account_names"."name" IS 'On one line';

-- The state of every configured stream, derived from facts alone: checkpoints, leases, runs, quarantine, proofs. Its reason is also a stable code:
-- programs look at that instead of the text.
CREATE OR REPLACE VIEW "sync"."status" AS
SELECT
  f.connection_id,
  f.stream,
  v.state,
  v.reason,
  v.since,
  f.running_pass,
  f.last_success_at,
  f.as_of,
  extract(epoch FROM now() - f.as_of)::bigint AS lag_seconds,
  f.watermark,
  f.backfill_completed_at,
  f.open_quarantine,
  f.notice,
  f.verified_at,
  f.verified_rows,
  f.verified_share,
  f.verification_differences,
  v.reason_code,
  coalesce(f.proven_from > f.verified_at, false) AS verification_settled,
  f.proof_kind,
  f.proof_at,
  (SELECT sum((o.value->>'rows')::bigint)::bigint FROM "sync"."count_checks" x, jsonb_array_elements(x.offsets) o
    WHERE x.connection_id = f.connection_id AND x.stream = f.stream
      AND x.offsets_at > coalesce(f.reconcile_completed_at, f.backfill_completed_at)) AS unlisted_rows
FROM (
-- What the last conclusive run of any stream of an account found out about the account holds for all its streams.
SELECT r.*,
  first_value(r.verdicts[1]) OVER (PARTITION BY r.connection_id ORDER BY (r.verdicts[1]).ended_at DESC NULLS LAST) AS account_verdict
FROM (
  SELECT
    s.connection_id,
    s.stream,
    s.paused_at,
    s.resync_asked_at,
    s.created_at,
    s.fresh_within_seconds,
    s.notice,
    i.watermark,
    i.started_at AS incremental_started_at,
    i.completed_at AS incremental_completed_at,
    b.completed_at AS backfill_completed_at,
    -- Between two slices; when it is not continued within an hour, it is no longer under way.
    b.yielded_run_id = b.run_id AND b.updated_at > now() - interval '1 hour' AS has_backfill_yielded,
    r.completed_at AS reconcile_completed_at,
    -- Not known before the pass ends.
    CASE WHEN r.cursor IS NULL THEN r.newest_change END AS newest_change,
    greatest(i.completed_at, b.completed_at, r.completed_at) AS last_success_at,
    -- A full sync proves the state at its beginning, an incremental one at its end. One that has not ended complete proves nothing.
    CASE WHEN b.completed_at IS NOT NULL
      THEN greatest(i.completed_at, w.proven_from)
    END AS as_of,
    w.proven_from,
    CASE
      WHEN b.lease_until > clock_timestamp() THEN 'backfill'
      WHEN r.lease_until > clock_timestamp() THEN 'reconcile'
      WHEN i.lease_until > clock_timestamp() THEN 'incremental'
      WHEN c.lease_until > clock_timestamp() THEN 'verify'
      WHEN k.lease_until > clock_timestamp() THEN 'count'
    END AS running_pass,
    l.outcome AS last_outcome,
    l.error_code AS last_error_code,
    l.error_message AS last_error_message,
    l.ended_at AS last_ended_at,
    -- The last conclusive run of each pass, newest first: neither cancelled nor postponed, and not ended by a transient failure.
    (SELECT array_agg(t.run ORDER BY (t.run).ended_at DESC)
      FROM (VALUES ('incremental'), ('backfill'), ('reconcile'), ('count')) AS p(pass)
      CROSS JOIN LATERAL (
        SELECT u AS run
        FROM "sync"."runs" u
        WHERE u.connection_id = s.connection_id AND u.stream = s.stream AND u.pass = p.pass AND u.ended_at IS NOT NULL
          AND (u.outcome IN ('succeeded', 'partial') OR u.outcome = 'failed' AND coalesce(u.error_code, '') NOT IN
            ('network', 'timeout', 'upstream_unavailable', 'upstream_garbled', 'database_unavailable'))
        ORDER BY u.id DESC LIMIT 1
      ) t) AS verdicts,
    q.open_quarantine,
    q.quarantined_at,
    d.verified_at,
    d.upstream_rows AS verified_rows,
    CASE WHEN d.upstream_rows = 0 THEN 1 ELSE d.compared_rows::float8 / d.upstream_rows END AS verified_share,
    d.missing + d.stale + d.extra + d.different - d.repaired AS verification_differences,
    o.failing_since AS unanswered_since,
    CASE o.failure_reason WHEN 'network' THEN 'no connection' WHEN 'timeout' THEN 'no answer in time' ELSE o.failure_reason END
      || ' since ' || to_char(o.failing_since AT TIME ZONE 'UTC',
        CASE WHEN (o.failing_since AT TIME ZONE 'UTC')::date = (now() AT TIME ZONE 'UTC')::date THEN 'HH24:MI' ELSE 'YYYY-MM-DD HH24:MI' END)
      || ' UTC' AS unanswered_why,
    CASE WHEN o.wake_at > clock_timestamp() THEN 'next try ' || to_char(o.wake_at AT TIME ZONE 'UTC', 'HH24:MI') || ' UTC'
      WHEN o.probe_until > clock_timestamp() THEN 'it is being tried now' ELSE 'the next try is due' END AS unanswered_next,
    p.blocked_until AS paused_until,
    coalesce(p.blocked_reason, 'it asked to wait') AS pause_reason,
    e.proof_kind,
    e.proof_at
  FROM "sync"."streams" s
  LEFT JOIN "sync"."checkpoints" b ON b.connection_id = s.connection_id AND b.stream = s.stream AND b.pass = 'backfill'
  LEFT JOIN "sync"."checkpoints" i ON i.connection_id = s.connection_id AND i.stream = s.stream AND i.pass = 'incremental'
  LEFT JOIN "sync"."checkpoints" r ON r.connection_id = s.connection_id AND r.stream = s.stream AND r.pass = 'reconcile'
  LEFT JOIN "sync"."checkpoints" c ON c.connection_id = s.connection_id AND c.stream = s.stream AND c.pass = 'verify'
  LEFT JOIN "sync"."checkpoints" k ON k.connection_id = s.connection_id AND k.stream = s.stream AND k.pass = 'count'
  -- An open circuit, as long as a process tries again: without a running process there is no next try.
  LEFT JOIN "sync"."budgets" o ON o.credential = s.credential AND o.opened_at IS NOT NULL AND o.failing_since IS NOT NULL
    AND greatest(o.wake_at, o.probe_until) > now() - interval '15 minutes'
  -- A wait that the server asked for. A short one is not reported.
  LEFT JOIN "sync"."budgets" p ON p.credential = s.credential AND p.blocked_until > now() + interval '1 minute'
  LEFT JOIN "sync"."verifications" d ON d.connection_id = s.connection_id AND d.stream = s.stream
  CROSS JOIN LATERAL (
    SELECT greatest(
      CASE WHEN b.completed_at >= b.started_at THEN b.started_at END,
      CASE WHEN r.completed_at >= r.started_at THEN r.started_at END
    ) AS proven_from
  ) w
  CROSS JOIN LATERAL (
    SELECT count(*) AS open_quarantine, min(k.first_seen_at) AS quarantined_at
    FROM "sync"."quarantine" k
    WHERE k.connection_id = s.connection_id AND k.stream = s.stream AND k.resolved_at IS NULL
  ) q
  LEFT JOIN LATERAL (
    SELECT x.outcome, x.error_code, x.error_message, x.ended_at
    FROM (VALUES ('incremental'), ('backfill'), ('reconcile'), ('count')) AS p(pass)
    CROSS JOIN LATERAL (
      SELECT u.outcome, u.error_code, u.error_message, u.ended_at
      FROM "sync"."runs" u
      WHERE u.connection_id = s.connection_id AND u.stream = s.stream AND u.pass = p.pass
        AND u.ended_at IS NOT NULL AND u.outcome <> 'cancelled'
      ORDER BY u.id DESC LIMIT 1
    ) x
    ORDER BY x.ended_at DESC LIMIT 1
  ) l ON true
  LEFT JOIN LATERAL (
    SELECT p.kind AS proof_kind, p.at AS proof_at
    FROM (VALUES ('count', k.completed_at), ('ids', greatest(r.completed_at, b.completed_at)),
      ('content', CASE WHEN d.missing + d.stale + d.extra + d.different - d.repaired = 0 THEN d.verified_at END)) AS p(kind, at)
    WHERE p.at IS NOT NULL
    ORDER BY p.at DESC LIMIT 1
  ) e ON true
  WHERE s.enabled
) r
) f
CROSS JOIN LATERAL (
  SELECT * FROM (
    SELECT 1 AS rank, 'paused' AS state, 'paused' AS reason_code, 'paused by a person' AS reason, f.paused_at AS since
      WHERE f.paused_at IS NOT NULL
    UNION ALL
    -- What a pass found holds until a later run of the same pass ends complete. A problem of a full read is settled by a complete reconcile too, and
    -- so is a list that was suddenly empty; credentials are proven by any complete pass. Quarantined records are counted below, while they are.
    SELECT CASE u.outcome WHEN 'failed' THEN 2 ELSE 8 END,
      CASE u.outcome WHEN 'failed' THEN 'blocked' ELSE 'partial' END,
      coalesce(u.error_code, 'incomplete'),
      coalesce(u.error_message, u.error_code, 'the last ' || u.pass || ' pass could not be completed'),
      (SELECT min(y.ended_at) FROM "sync"."runs" y
        WHERE y.connection_id = u.connection_id AND y.stream = u.stream AND y.pass = u.pass
          AND y.outcome = u.outcome AND y.error_code IS NOT DISTINCT FROM u.error_code
          AND y.id > coalesce((SELECT g.id FROM "sync"."runs" g
            WHERE g.connection_id = u.connection_id AND g.stream = u.stream AND g.pass = u.pass AND g.ended_at IS NOT NULL
              AND (g.outcome = 'succeeded' OR g.outcome = 'partial' AND g.error_code = 'quarantined')
            ORDER BY g.id DESC LIMIT 1), 0))
      FROM unnest(f.verdicts) u
      WHERE (u.outcome = 'failed' OR u.outcome = 'partial' AND u.error_code IS DISTINCT FROM 'quarantined')
        AND NOT coalesce(CASE
          WHEN u.error_code LIKE 'auth%' OR u.error_code IN ('project_not_found', 'wrong_base_url') THEN f.last_success_at > u.ended_at
          WHEN u.pass IN ('backfill', 'count') OR u.error_code = 'suddenly_empty' THEN f.reconcile_completed_at > u.ended_at
        END, false)
    UNION ALL
    SELECT 3, 'blocked', (f.account_verdict).error_code, coalesce((f.account_verdict).error_message, (f.account_verdict).error_code), (f.account_verdict).ended_at
      WHERE (f.account_verdict).outcome = 'failed'
        AND ((f.account_verdict).error_code LIKE 'auth%' OR (f.account_verdict).error_code IN ('project_not_found', 'wrong_base_url'))
    UNION ALL
    -- Nothing can come in; it goes on by itself.
    SELECT 4, 'blocked', 'circuit_open', 'the upstream does not answer (' || f.unanswered_why || '); ' || f.unanswered_next, f.unanswered_since
      WHERE f.unanswered_since IS NOT NULL
    UNION ALL
    SELECT 4, 'blocked', 'rate_limited', 'the upstream asks to wait (' || f.pause_reason || '); next try ' || to_char(f.paused_until AT TIME ZONE 'UTC', 'HH24:MI')
        || ' UTC, or at once after: leadmirror resume ' || f.stream || ' --connection ' || f.connection_id, coalesce(f.last_ended_at, f.created_at)
      WHERE f.paused_until IS NOT NULL
    UNION ALL
    SELECT 4, 'blocked', 'day_limit',
      'the requests of this day are used up (' || y.day_requests || ' of ' || y.day_limit || '); it goes on by itself at '
        || to_char(y.day_ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', y.updated_at
      FROM "sync"."budgets" y JOIN "sync"."streams" z ON z.credential = y.credential
      WHERE z.connection_id = f.connection_id AND z.stream = f.stream AND y.day_requests >= y.day_limit AND y.day_ends_at > clock_timestamp()
    UNION ALL
    -- A resync withdraws what was proven: whoever asks for one doubts the rows.
    SELECT 5, 'syncing', 'backfill_running', CASE WHEN f.resync_asked_at IS NULL THEN 'the first full read is under way'
        ELSE 'a full re-read (resync), asked for by a person, is under way' END, coalesce(f.resync_asked_at, f.created_at)
      WHERE f.backfill_completed_at IS NULL AND (f.running_pass = 'backfill' OR f.has_backfill_yielded)
    UNION ALL
    SELECT 6, 'never', 'no_run', 'no run yet', f.created_at
      WHERE f.backfill_completed_at IS NULL AND f.last_outcome IS NULL AND NOT EXISTS (SELECT FROM "sync"."runs" y
        WHERE y.connection_id = f.connection_id AND y.stream = f.stream AND y.pass = 'backfill')
    UNION ALL
    SELECT 7, 'partial', coalesce(f.last_error_code, 'backfill_unfinished'), CASE WHEN f.resync_asked_at IS NULL THEN 'the first full read' ELSE 'a full re-read (resync), asked for by a person,' END
        || ' is not finished' || coalesce(': ' || f.last_error_message, ''), coalesce(f.resync_asked_at, f.last_ended_at, f.created_at)
      WHERE f.backfill_completed_at IS NULL
    UNION ALL
    SELECT 9, 'partial', 'verify_differences', CASE f.verification_differences WHEN 1 THEN '1 row differs' ELSE f.verification_differences || ' rows differ' END
        || ' from the upstream, as the last verify found', f.verified_at
      WHERE f.verification_differences > 0 AND NOT coalesce(f.proven_from > f.verified_at, false)
    UNION ALL
    -- A row that is new to a full sync is newer than the watermark, unless it is read in a way that has a notice. The next incremental pass sees it
    -- and moves the watermark; one that ends complete and does not was not shown what changed.
    SELECT 10, 'partial', 'watermark_behind', 'the last full sync found ' || CASE u.created WHEN 1 THEN '1 new row' ELSE u.created || ' new rows' END
        || ', and the watermark has not moved since: incremental passes may not be shown what changes', u.ended_at
      FROM unnest(f.verdicts) u
      WHERE u.pass = 'reconcile' AND u.created > 0 AND f.notice IS NULL
        AND f.incremental_started_at > u.ended_at AND f.incremental_completed_at >= f.incremental_started_at
        AND f.watermark <> '{}' AND f.watermark = (SELECT m.watermark FROM "sync"."runs" m
          WHERE m.connection_id = u.connection_id AND m.stream = u.stream AND m.pass = 'incremental'
            AND m.started_at < u.started_at AND m.ended_at IS NOT NULL AND m.watermark IS NOT NULL
          ORDER BY m.id DESC LIMIT 1)
    UNION ALL
    -- Rows that are not new show it by their dates: a full sync saw a change that is newer than all that incremental passes were shown since.
    SELECT 10, 'partial', 'watermark_behind', 'the last full sync saw changes as late as ' || to_char(f.newest_change AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        || ' UTC, and the watermark has not come so far since: incremental passes may not be shown what changes', f.reconcile_completed_at
      WHERE f.notice IS NULL AND f.incremental_started_at > f.reconcile_completed_at
        AND f.incremental_completed_at >= f.incremental_started_at
        AND f.newest_change > (SELECT max(w.value::timestamptz) FROM jsonb_each_text(f.watermark) w)
    UNION ALL
    SELECT 11, 'partial', 'open_quarantine',
      CASE f.open_quarantine WHEN 1 THEN '1 record is' ELSE f.open_quarantine || ' records are' END || ' in quarantine', f.quarantined_at
      WHERE f.open_quarantine > 0
    UNION ALL
    SELECT 12, 'stale', CASE f.fresh_within_seconds WHEN 0 THEN 'not_scheduled' ELSE coalesce(f.last_error_code, 'overdue') END,
      CASE f.fresh_within_seconds WHEN 0 THEN 'not scheduled: read by hand only'
        ELSE coalesce('no complete pass in time: ' || f.last_error_message, 'no complete pass in time') END, f.as_of
      WHERE f.as_of IS NULL OR f.as_of < now() - make_interval(secs => f.fresh_within_seconds)
    UNION ALL
    -- Incremental passes go on meanwhile, but what they cannot see (deletions, for one) is as old as the last full sync.
    SELECT 13, 'stale', coalesce(x.error_code, 'reconcile_failing'), 'full syncs have failed for more than a day: ' || coalesce(x.error_message, x.error_code, 'no reason is known'), x.ended_at
      FROM (SELECT y.error_message, y.error_code, y.ended_at FROM "sync"."runs" y
        WHERE y.connection_id = f.connection_id AND y.stream = f.stream AND y.pass = 'reconcile' AND y.outcome = 'failed'
          AND y.ended_at > greatest(f.reconcile_completed_at, f.backfill_completed_at)
        ORDER BY y.id LIMIT 1) x
      WHERE x.ended_at < now() - interval '1 day'
    UNION ALL
    SELECT 14, 'fresh', 'complete', 'complete as of the last pass', f.as_of
  ) candidates
  ORDER BY rank, since DESC LIMIT 1
) v;
COMMENT ON VIEW "sync"."status" IS 'One row per configured stream: its state (fresh, syncing, stale, partial, blocked, paused, never), why and since when.';
COMMENT ON COLUMN "sync"."status"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."status"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."status"."state" IS 'fresh, syncing, stale, partial, blocked, paused or never';
COMMENT ON COLUMN "sync"."status"."reason" IS 'Why it is in this state, human-readable';
COMMENT ON COLUMN "sync"."status"."since" IS 'Since when the reason holds (UTC)';
COMMENT ON COLUMN "sync"."status"."running_pass" IS 'Pass that runs now; null when none does';
COMMENT ON COLUMN "sync"."status"."last_success_at" IS 'A pass last ended complete (UTC)';
COMMENT ON COLUMN "sync"."status"."as_of" IS 'The mirror holds everything that was there then (UTC); null before the first full read';
COMMENT ON COLUMN "sync"."status"."lag_seconds" IS 'Seconds since as_of';
COMMENT ON COLUMN "sync"."status"."watermark" IS 'Greatest upstream change time safely stored, by list (UTC)';
COMMENT ON COLUMN "sync"."status"."backfill_completed_at" IS 'The first full read ended complete (UTC)';
COMMENT ON COLUMN "sync"."status"."open_quarantine" IS 'Records quarantined and not resolved';
COMMENT ON COLUMN "sync"."status"."notice" IS 'What people should know about how this stream is read; null: nothing out of the ordinary';
COMMENT ON COLUMN "sync"."status"."verified_at" IS 'The stream was last verified (UTC); null: never';
COMMENT ON COLUMN "sync"."status"."verified_rows" IS 'Rows upstream that it compared by id and version';
COMMENT ON COLUMN "sync"."status"."verified_share" IS 'Share of them that it compared by content too, 0 to 1';
COMMENT ON COLUMN "sync"."status"."verification_differences" IS 'Rows that differed in that verify and were not repaired by it';
COMMENT ON COLUMN "sync"."status"."reason_code" IS 'The reason as a stable code: the error code of the run that it comes from, or paused, circuit_open, rate_limited, backfill_running, backfill_unfinished, no_run, incomplete, verify_differences, watermark_behind, open_quarantine, not_scheduled, overdue, reconcile_failing, complete';
COMMENT ON COLUMN "sync"."status"."verification_settled" IS 'A full sync that began after the last verify ended complete, and read again whatever differed';
COMMENT ON COLUMN "sync"."status"."proof_kind" IS 'The latest evidence that the mirror is complete. count: the upstream counts as many rows; ids: a full sync saw every id; content: verify compared the content; null: none yet';
COMMENT ON COLUMN "sync"."status"."proof_at" IS 'When that was (UTC)';
COMMENT ON COLUMN "sync"."status"."unlisted_rows" IS 'Rows that the upstream counts and does not list, as found after the last full sync; null: none';

-- Which streams keep versions of their rows. Triggers, tables and views of a stream are made when it is switched on, from the columns of its table.
CREATE TABLE IF NOT EXISTS "sync"."history" (
  "stream" TEXT NOT NULL,
  "columns" TEXT[],
  "on_since" TIMESTAMPTZ(3) NOT NULL,
  "off_since" TIMESTAMPTZ(3),
  "definition" TEXT NOT NULL,
  "first_look_connection" TEXT NOT NULL DEFAULT '',
  "first_look_id" TEXT NOT NULL DEFAULT '',
  "first_look_ended_at" TIMESTAMPTZ(3),

  CONSTRAINT "history_pkey" PRIMARY KEY ("stream")
);
COMMENT ON TABLE "sync"."history" IS 'Streams whose versions are kept, or were: each has the tables <stream>_history and <stream>_versions. Everything that holds versions is named here.';
COMMENT ON COLUMN "sync"."history"."stream" IS 'Source and kind: tiledesk.requests; also the name of the mirrored table';
COMMENT ON COLUMN "sync"."history"."columns" IS 'Columns of which each value is kept';
COMMENT ON COLUMN "sync"."history"."on_since" IS 'Kept since then without a gap (UTC)';
COMMENT ON COLUMN "sync"."history"."off_since" IS 'Switched off then (UTC): nothing is known of what changed since; null: it is on';
COMMENT ON COLUMN "sync"."history"."definition" IS 'Digest of the triggers and views as this version of the program makes them';
COMMENT ON COLUMN "sync"."history"."first_look_connection" IS 'Up to here the first look has written the rows that had no version: sync.streams.connection_id';
COMMENT ON COLUMN "sync"."history"."first_look_id" IS 'And the id of the row';
COMMENT ON COLUMN "sync"."history"."first_look_ended_at" IS 'The first look is complete since then (UTC); null: it goes on at the next start';

CREATE OR REPLACE VIEW "sync"."history_status" AS
SELECT h.stream, h.columns, h.on_since, h.off_since, h.first_look_ended_at, coalesce(s.versions, 0) AS versions, coalesce(s.bytes, 0) AS bytes, s.oldest
FROM "sync"."history" h
CROSS JOIN LATERAL (
  SELECT sum(greatest(c.reltuples, 0))::bigint AS versions, sum(pg_total_relation_size(c.oid))::bigint AS bytes,
    min(to_date(substring(c.relname::text FROM '_([0-9]{8})$'), 'YYYYMMDD')) FILTER (WHERE pg_relation_size(c.oid) > 0) AS oldest
  FROM pg_partition_tree(to_regclass(h.stream || '_history')) p JOIN pg_class c ON c.oid = p.relid AND p.isleaf
) s;
COMMENT ON VIEW "sync"."history_status" IS 'History by stream, as leadmirror history status shows it';
COMMENT ON COLUMN "sync"."history_status"."stream" IS 'Source and kind: tiledesk.requests';
COMMENT ON COLUMN "sync"."history_status"."columns" IS 'Columns of which each value is kept';
COMMENT ON COLUMN "sync"."history_status"."on_since" IS 'Kept since then without a gap (UTC)';
COMMENT ON COLUMN "sync"."history_status"."off_since" IS 'Switched off then (UTC): nothing is known of what changed since; null: it is on';
COMMENT ON COLUMN "sync"."history_status"."first_look_ended_at" IS 'Every row had a version from then on (UTC); null: not yet';
COMMENT ON COLUMN "sync"."history_status"."versions" IS 'About how many versions there are, as Postgres estimates';
COMMENT ON COLUMN "sync"."history_status"."bytes" IS 'What they and their indexes take';
COMMENT ON COLUMN "sync"."history_status"."oldest" IS 'First day of the oldest partition that has any';

-- Partitions by "seen_at" for this unit of time (month, week) and the two after it; older ones than "keep" are dropped. Rows that come where there is no
-- partition go to the default one and stay there. Attaching locks out no writer; where a long query keeps the lock away, the next day tries again.
CREATE OR REPLACE FUNCTION "sync"."keep_partitions"(parent regclass, unit text, keep interval) RETURNS void LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  home CONSTANT text := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = parent);
  stem CONSTANT text := (SELECT relname FROM pg_class WHERE oid = parent);
  step CONSTANT interval := ('1 ' || unit)::interval;
  low timestamp;
  name text;
  is_taken boolean;
BEGIN
  FOR n IN 0..2 LOOP
    low := date_trunc(unit, clock_timestamp() AT TIME ZONE 'UTC') + n * step;
    name := format('%I.%I', home, stem || to_char(low, '_YYYYMMDD'));
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    EXECUTE format('SELECT exists (SELECT FROM %I.%I WHERE seen_at >= %L AND seen_at < %L)', home, stem || '_rest', low AT TIME ZONE 'UTC',
      (low + step) AT TIME ZONE 'UTC') INTO is_taken;
    CONTINUE WHEN is_taken;
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS)', name, parent);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, name, low AT TIME ZONE 'UTC', (low + step) AT TIME ZONE 'UTC');
  END LOOP;
  FOR name IN
    SELECT p.relid::regclass::text FROM pg_partition_tree(parent) p JOIN pg_class c ON c.oid = p.relid
    WHERE p.isleaf AND c.relname ~ '_[0-9]{8}$'
      AND to_date(right(c.relname, 8), 'YYYYMMDD') + step <= (clock_timestamp() - keep) AT TIME ZONE 'UTC'
  LOOP
    EXECUTE 'DROP TABLE ' || name;
  END LOOP;
  EXECUTE format('DELETE FROM %I.%I WHERE seen_at < clock_timestamp() - %L::interval', home, stem || '_rest', keep);
END
$$;
COMMENT ON FUNCTION "sync"."keep_partitions"(regclass, text, interval) IS 'Makes the partitions of the time to come, and drops those that are older than they are kept';

-- Until when the answer of <stream>_as_of is known to be complete. By "seen": as of when the mirror was at that moment, from the runs that had ended.
CREATE OR REPLACE FUNCTION "sync"."certain_until"(connection text, stream_name text, at timestamptz, by text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN until < at THEN until WHEN until >= at THEN at END
  FROM (SELECT CASE WHEN by = 'upstream'
    THEN (SELECT s.as_of FROM sync.status s WHERE s.connection_id = connection AND s.stream = stream_name)
    ELSE (SELECT max(CASE WHEN r.pass = 'incremental' AND r.ended_at <= at THEN r.ended_at ELSE r.started_at END) FROM sync.runs r
      WHERE r.connection_id = connection AND r.stream = stream_name AND r.outcome = 'succeeded'
        AND (r.ended_at <= at OR r.idle_runs > 0 AND r.started_at < at)) END AS until) known
$$;
COMMENT ON FUNCTION "sync"."certain_until"(text, text, timestamptz, text) IS 'Changes after this moment are not known to the answer for the moment "at"; null: no complete run is known';

-- The feed of changes: which streams write to it, and how far each consumer has read. The table sync.changes is made when the first stream is switched on.
CREATE TABLE IF NOT EXISTS "sync"."feed" (
  "stream" TEXT NOT NULL,
  "on_since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "definition" TEXT NOT NULL,
  "dropped_seq" BIGINT,

  CONSTRAINT "feed_pkey" PRIMARY KEY ("stream")
);
COMMENT ON TABLE "sync"."feed" IS 'Streams whose changes are written to sync.changes';
COMMENT ON COLUMN "sync"."feed"."stream" IS 'Source and kind: tiledesk.leads; also the name of the mirrored table';
COMMENT ON COLUMN "sync"."feed"."on_since" IS 'Switched on (UTC)';
COMMENT ON COLUMN "sync"."feed"."definition" IS 'Digest of the triggers as this version of the program makes them';
COMMENT ON COLUMN "sync"."feed"."dropped_seq" IS 'Changes up to this number are no longer kept; null: all are';

CREATE TABLE IF NOT EXISTS "sync"."consumers" (
  "name" TEXT NOT NULL,
  "seq" BIGINT NOT NULL,
  "registered_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "acked_at" TIMESTAMPTZ(3),
  "home" TEXT NOT NULL,

  CONSTRAINT "consumers_pkey" PRIMARY KEY ("name")
);
COMMENT ON TABLE "sync"."consumers" IS 'Readers of the feed, each with what it has acknowledged.';
COMMENT ON COLUMN "sync"."consumers"."name" IS 'Chosen by the program that reads';
COMMENT ON COLUMN "sync"."consumers"."seq" IS 'Cursor: everything up to this change is acknowledged';
COMMENT ON COLUMN "sync"."consumers"."registered_at" IS 'First seen (UTC): changes from then on are read';
COMMENT ON COLUMN "sync"."consumers"."acked_at" IS 'Last acknowledgement (UTC); null: none yet';
COMMENT ON COLUMN "sync"."consumers"."home" IS 'sync.feed_home() when it was registered: in another database it has to read all rows again';

CREATE OR REPLACE FUNCTION "sync"."feed_lock_base"() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 21484::bigint << 48';
COMMENT ON FUNCTION "sync"."feed_lock_base"() IS 'Advisory locks of writers of the feed: this, and the number that their changes come after';

-- Changes are numbered under the lock of their row, so the numbers have the order of each row. But transactions do not commit in that order: what one that
-- is still open wrote comes later, with smaller numbers. So each writer locks, before its first number, the number that was last then; below the smallest of
-- these locks all is final. Other transactions of the server, however old, keep no reader back.
CREATE OR REPLACE FUNCTION "sync"."begin_feed"() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('leadmirror.feed_xid', true) IS NOT DISTINCT FROM pg_current_xact_id()::text THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock_shared(sync.feed_lock_base() + (SELECT last_value - (NOT is_called)::integer FROM sync.changes_seq));
  PERFORM set_config('leadmirror.feed_xid', pg_current_xact_id()::text, true);
END
$$;
COMMENT ON FUNCTION "sync"."begin_feed"() IS 'Called by each writer of the feed before its first change';

-- First the last number, then the locks: who took a number before is either still locked or has ended, and then the next statement sees what it wrote.
CREATE OR REPLACE FUNCTION "sync"."settled_changes"() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
  open bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'The feed is read in a transaction of isolation level read committed';
  END IF;
  SELECT last_value - (NOT is_called)::integer INTO last FROM sync.changes_seq;
  SELECT min(((l.classid::bigint << 32) | l.objid::bigint) - sync.feed_lock_base()) INTO open FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint >> 16) = 21484;
  RETURN least(last, open);
END
$$;
COMMENT ON FUNCTION "sync"."settled_changes"() IS 'No change with this number or a smaller one can still turn up';

CREATE OR REPLACE FUNCTION "sync"."read_changes"(consumer text, max integer, behind bigint DEFAULT NULL)
RETURNS TABLE (cursor bigint, stream text, connection_id text, id text, op "char", changed text[], seen_at timestamptz, run_id bigint) LANGUAGE plpgsql AS $$
DECLARE
  start bigint := (SELECT coalesce(behind, c.seq) FROM sync.consumers c WHERE c.name = consumer);
  settled bigint;
BEGIN
  IF start IS NULL THEN
    RAISE EXCEPTION 'There is no consumer of this name; sync.ack_changes(name, null) registers one' USING ERRCODE = 'LM002';
  END IF;
  PERFORM sync.check_consumer(consumer, start);
  IF to_regclass('sync.changes') IS NULL THEN RETURN; END IF;
  settled := sync.settled_changes();
  IF start < (SELECT f.dropped_seq FROM sync.feed f ORDER BY f.dropped_seq DESC NULLS LAST LIMIT 1) THEN
    RAISE EXCEPTION 'The consumer is behind what is kept; read all rows again, then register it anew' USING ERRCODE = 'LM001';
  END IF;
  RETURN QUERY EXECUTE $sql$
    SELECT c.seq, c.stream, c.connection_id, c.id, c.op, c.changed, c.seen_at, c.run_id FROM sync.changes c
    WHERE c.seq > $1 AND c.seq <= $2 ORDER BY c.seq LIMIT $3 $sql$ USING start, settled, max;
END
$$;
COMMENT ON FUNCTION "sync"."read_changes"(text, integer, bigint) IS 'The next changes behind what the consumer acknowledged, or behind this cursor, in their final order';

CREATE OR REPLACE FUNCTION "sync"."ack_changes"(consumer text, cursor bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  -- A new one reads what is written from now on, the transactions included that are open now.
  IF NOT exists (SELECT FROM sync.consumers c WHERE c.name = consumer) THEN
    INSERT INTO sync.consumers (name, seq, home)
    VALUES (consumer, CASE WHEN to_regclass('sync.changes') IS NULL THEN 0 ELSE sync.settled_changes() END, sync.feed_home()) ON CONFLICT DO NOTHING;
  END IF;
  PERFORM sync.check_consumer(consumer, cursor);
  UPDATE sync.consumers c SET seq = cursor, acked_at = clock_timestamp() WHERE c.name = consumer AND c.seq < cursor;
  RETURN (SELECT c.seq FROM sync.consumers c WHERE c.name = consumer);
END
$$;
COMMENT ON FUNCTION "sync"."ack_changes"(text, bigint) IS 'Everything up to the cursor was processed; it never goes back. A consumer that is not known is registered, and reads from now on';

CREATE OR REPLACE FUNCTION "sync"."keep_changes"(keep interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('sync.changes') IS NULL THEN RETURN; END IF;
  EXECUTE 'UPDATE sync.feed SET dropped_seq = greatest(dropped_seq, (SELECT max(seq) FROM sync.changes WHERE seen_at < clock_timestamp() - $1))' USING keep;
  PERFORM sync.keep_partitions('sync.changes', 'week', keep);
END
$$;
COMMENT ON FUNCTION "sync"."keep_changes"(interval) IS 'Makes the partitions of the weeks to come, drops old ones, and notes up to where changes are gone';

-- Consumers of the feed belong to one database. In one that was restored from a backup or copied, the numbers go on from an older state: what a consumer
-- acknowledged is not what they stand for, and what it read may never have been.
CREATE OR REPLACE FUNCTION "sync"."feed_home"() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  own text := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
  RETURN (SELECT concat_ws('/', own, s.system_identifier, c.timeline_id) FROM pg_control_system() s, pg_control_checkpoint() c);
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
  RETURN own;
END
$$;
COMMENT ON FUNCTION "sync"."feed_home"() IS 'Database, server and timeline: another one after a restore, a copy or a failover';

CREATE OR REPLACE FUNCTION "sync"."check_consumer"(consumer text, cursor bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  last bigint := 0;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'The feed is read on the primary server: a standby does not know which transactions are open';
  END IF;
  IF to_regclass('sync.changes_seq') IS NOT NULL THEN SELECT last_value INTO last FROM sync.changes_seq; END IF;
  IF cursor > last OR (SELECT c.home FROM sync.consumers c WHERE c.name = consumer) <> sync.feed_home() THEN
    RAISE EXCEPTION 'The database was restored or copied since the consumer read; register it anew, then read all rows again' USING ERRCODE = 'LM003';
  END IF;
END
$$;
COMMENT ON FUNCTION "sync"."check_consumer"(text, bigint) IS 'Fails where the consumer, or its cursor, is of another state of the database';

CREATE OR REPLACE FUNCTION "sync"."feed_lags"() RETURNS TABLE (consumer text, lag_seconds double precision) LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF to_regclass('sync.changes') IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT c.name, coalesce(extract(epoch FROM clock_timestamp() - (
    SELECT f.seen_at FROM sync.changes f WHERE f.seq > c.seq ORDER BY f.seq LIMIT 1)), 0)::double precision FROM sync.consumers c;
END
$$;
COMMENT ON FUNCTION "sync"."feed_lags"() IS 'Age of the oldest change that each consumer has not acknowledged; 0: it has all';

-- Reporting: narrow precomputed tables, the function that keeps them current, and views for people.
--
-- Nothing here is read or written while a page is written. What changed is found by "synced_at", which every writer of a mirrored row moves; one
-- narrow index each makes that a look at the newest entries.
CREATE SCHEMA IF NOT EXISTS "reporting";
COMMENT ON SCHEMA "reporting" IS 'Human-readable views, and the precomputed tables that they read; see docs/sql.md';

-- Settings and book-keeping ------------------------------------------------------------------------------------------------------------------

-- Business hours: how much of the wait for the first answer was within the hours in which one could be given.

-- Minutes of the week, from Monday on, as ranges that neither overlap nor touch. Overlapping windows of a day are one.
CREATE OR REPLACE FUNCTION "reporting"."business_windows"(given text) RETURNS int4range[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  WITH windows AS (
    SELECT d.day * 1440 + t.at[1]::int * 60 + t.at[2]::int AS opens, d.day * 1440 + t.at[3]::int * 60 + t.at[4]::int AS closes,
      t.at[1] || t.at[2] < t.at[3] || t.at[4] AND t.at[3] || t.at[4] <= '2400' AS is_sound
    FROM regexp_split_to_table(lower(given), ',') AS part
    CROSS JOIN LATERAL regexp_matches(part, '([a-z]{3})(?:-([a-z]{3}))?') AS m(names)
    CROSS JOIN LATERAL (SELECT array_position('{mon,tue,wed,thu,fri,sat,sun}', m.names[1]) - 1 AS first,
      array_position('{mon,tue,wed,thu,fri,sat,sun}', coalesce(m.names[2], m.names[1])) - 1 AS last) n
    CROSS JOIN LATERAL (SELECT day FROM generate_series(0, 6) day WHERE (day - n.first + 7) % 7 <= (n.last - n.first + 7) % 7) d
    CROSS JOIN LATERAL regexp_matches(part, '(\d\d):(\d\d)-(\d\d):(\d\d)', 'g') AS t(at)
  ), minutes AS (
    SELECT minute, minute - row_number() OVER (ORDER BY minute) AS run
    FROM (SELECT DISTINCT minute FROM windows w CROSS JOIN LATERAL generate_series(w.opens, w.closes - 1) minute WHERE w.is_sound) m
  )
  SELECT CASE WHEN lower(btrim(given)) = 'none' THEN '{}'
    WHEN lower(given) ~ replace(replace('^\s*D(\s+T)+(\s*,\s*D(\s+T)+)*\s*$', 'D', '(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?'),
      'T', '([01]\d|2[0-4]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d') AND (SELECT bool_and(is_sound) FROM windows)
    THEN (SELECT array_agg(r.span ORDER BY r.span) FROM (SELECT int4range(min(minute)::int, max(minute)::int + 1) AS span FROM minutes GROUP BY run) r) END
$$;
COMMENT ON FUNCTION "reporting"."business_windows"(text) IS 'The minutes of the week in hours such as mon-fri 09:00-18:00; empty: none; null: they are not written like that';

CREATE TABLE IF NOT EXISTS "reporting"."settings" (
  "connection_id" text PRIMARY KEY,
  -- Any clock reading will do: a name that Postgres does not know is refused here, not by the next refresh.
  "time_zone" text CHECK ("time_zone" IS NULL OR (timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE "time_zone") IS NOT NULL),
  "business_hours" text CHECK ("business_hours" IS NULL OR reporting.business_windows("business_hours") IS NOT NULL),
  "business_windows" int4range[] GENERATED ALWAYS AS (reporting.business_windows("business_hours")) STORED,
  -- An account with hours of its own may be in the time zone of all.
  CONSTRAINT "settings_zone_of_all_check" CHECK ("time_zone" IS NOT NULL OR "connection_id" <> '*')
);
COMMENT ON TABLE "reporting"."settings" IS 'Time zone and business hours of each account. A change is worked in by the next refresh';
COMMENT ON COLUMN "reporting"."settings"."connection_id" IS 'Configured account; * holds for all that are not named';
COMMENT ON COLUMN "reporting"."settings"."time_zone" IS 'Where days, weekdays and hours begin, a name as in pg_timezone_names: Europe/Rome; null: as for all';
COMMENT ON COLUMN "reporting"."settings"."business_hours" IS 'Such as mon-fri 09:00-13:00 14:00-18:00, sat 09:00-12:00, by the clock of that time zone; none: no hours; null: as for all';
COMMENT ON COLUMN "reporting"."settings"."business_windows" IS 'The same as minutes of the week, from Monday on';
INSERT INTO "reporting"."settings" VALUES ('*', 'UTC') ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS "reporting"."applied_zones" (
  "connection_id" text PRIMARY KEY,
  "time_zone" text
);
COMMENT ON TABLE "reporting"."applied_zones" IS 'The settings that the precomputed tables were computed with';
COMMENT ON COLUMN "reporting"."applied_zones"."connection_id" IS 'As in settings';
COMMENT ON COLUMN "reporting"."applied_zones"."time_zone" IS 'As in settings';

CREATE TABLE IF NOT EXISTS "reporting"."refreshes" (
  "id" integer PRIMARY KEY CHECK ("id" = 1),
  "read_from" timestamptz NOT NULL,
  "refreshed_at" timestamptz,
  "rebuilt_at" timestamptz,
  "took_ms" bigint
);
COMMENT ON TABLE "reporting"."refreshes" IS 'One row: the last refresh of the precomputed tables';
COMMENT ON COLUMN "reporting"."refreshes"."id" IS 'Always 1';
COMMENT ON COLUMN "reporting"."refreshes"."read_from" IS 'The next refresh reads rows written since then (UTC): before the beginning of every transaction that the last one could not see';
COMMENT ON COLUMN "reporting"."refreshes"."refreshed_at" IS 'Began (UTC): whatever the mirror had then is in the precomputed tables; null: never';
COMMENT ON COLUMN "reporting"."refreshes"."rebuilt_at" IS 'Last time that all rows were read (UTC)';
COMMENT ON COLUMN "reporting"."refreshes"."took_ms" IS 'Duration, milliseconds';
INSERT INTO "reporting"."refreshes" VALUES (1, '-infinity') ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS "reporting"."sources" (
  "connection_id" text NOT NULL,
  "stream" text NOT NULL,
  "as_of" timestamptz,
  "is_enabled" boolean NOT NULL,
  PRIMARY KEY ("connection_id", "stream")
);
COMMENT ON TABLE "reporting"."sources" IS 'How fresh each stream was when it was last read into the precomputed tables';
COMMENT ON COLUMN "reporting"."sources"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."sources"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "reporting"."sources"."as_of" IS 'sync.status.as_of at that time (UTC); null: never complete';
COMMENT ON COLUMN "reporting"."sources"."is_enabled" IS 'Part of the configuration';

CREATE UNLOGGED TABLE IF NOT EXISTS "reporting"."touched" (
  "kind" text NOT NULL,
  "connection_id" text NOT NULL,
  "value" text NOT NULL,
  "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
CREATE INDEX IF NOT EXISTS "touched_kind_idx" ON "reporting"."touched" ("kind");
COMMENT ON TABLE "reporting"."touched" IS 'Notes of the refresh under way: what has to be computed anew. Empty between two refreshes';
COMMENT ON COLUMN "reporting"."touched"."kind" IS 'month, chat, visit, lead, link, external, phone, project, person or request';
COMMENT ON COLUMN "reporting"."touched"."connection_id" IS 'Configured account; empty where it does not matter';
COMMENT ON COLUMN "reporting"."touched"."value" IS 'Month, id, number or key';
COMMENT ON COLUMN "reporting"."touched"."row_id" IS 'Primary key without a meaning';

-- Precomputed tables -------------------------------------------------------------------------------------------------------------------------
CREATE TABLE IF NOT EXISTS "reporting"."names" (
  "kind" text NOT NULL,
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "name" text,
  "verdict" text,
  PRIMARY KEY ("kind", "connection_id", "id")
);
COMMENT ON TABLE "reporting"."names" IS 'Names of departments, agents, Tilkee projects and Tilkee users; those that are gone keep theirs';
COMMENT ON COLUMN "reporting"."names"."kind" IS 'department, agent, project or user';
COMMENT ON COLUMN "reporting"."names"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."names"."id" IS 'Upstream id; of an agent the user id';
COMMENT ON COLUMN "reporting"."names"."name" IS 'Name; of people first and last name, else the e-mail address';
COMMENT ON COLUMN "reporting"."names"."verdict" IS 'Projects: tilkee.projects.verdict';

CREATE TABLE IF NOT EXISTS "reporting"."request_facts" (
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "status" integer,
  "opened_hour" smallint,
  "is_counted" boolean NOT NULL,
  "is_open" boolean NOT NULL,
  "is_answered" boolean NOT NULL,
  "opened_on" date,
  "closed_on" date,
  "opened_at" timestamptz,
  "first_response_at" timestamptz,
  "closed_at" timestamptz,
  "first_response_ms" bigint,
  "resolution_ms" bigint,
  "rating" numeric,
  "channel" text,
  "department_id" text,
  "lead_id" text,
  "closer_id" text,
  "agent_ids" text[] NOT NULL,
  "first_response_business_ms" bigint,
  PRIMARY KEY ("connection_id", "id")
);
COMMENT ON TABLE "reporting"."request_facts" IS 'One slim row per request of the mirror, deleted ones and drafts included: see is_counted. Questions are better asked of reporting.requests';
COMMENT ON COLUMN "reporting"."request_facts"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."request_facts"."id" IS 'tiledesk.requests.id';
COMMENT ON COLUMN "reporting"."request_facts"."status" IS '50 temporary, 100 unassigned, 150 abandoned, 200 assigned, 1000 closed';
COMMENT ON COLUMN "reporting"."request_facts"."opened_hour" IS 'Hour of opened_at in the time zone of the account, 0 to 23';
COMMENT ON COLUMN "reporting"."request_facts"."is_counted" IS 'Alive, and a real conversation: not a draft, not preflight, not temporary (50). Views count only these';
COMMENT ON COLUMN "reporting"."request_facts"."is_open" IS 'Counted, and neither closed (1000) nor abandoned (150); a reopened request is open';
COMMENT ON COLUMN "reporting"."request_facts"."is_answered" IS 'An agent answered: first_response_at or waiting_time is set';
COMMENT ON COLUMN "reporting"."request_facts"."opened_on" IS 'Day of opened_at in the time zone of the account';
COMMENT ON COLUMN "reporting"."request_facts"."closed_on" IS 'Day of closed_at in the time zone of the account';
COMMENT ON COLUMN "reporting"."request_facts"."opened_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "reporting"."request_facts"."first_response_at" IS 'First answer by an agent (UTC)';
COMMENT ON COLUMN "reporting"."request_facts"."closed_at" IS 'Last closing (UTC), only while the status is closed: a reopened request has none';
COMMENT ON COLUMN "reporting"."request_facts"."first_response_ms" IS 'From opened_at to first_response_at, else upstream waiting_time, milliseconds; null when negative';
COMMENT ON COLUMN "reporting"."request_facts"."resolution_ms" IS 'Of closed requests: from opened_at to closed_at, else upstream duration, milliseconds; null when negative';
COMMENT ON COLUMN "reporting"."request_facts"."rating" IS 'Rating by the visitor';
COMMENT ON COLUMN "reporting"."request_facts"."channel" IS 'Channel name';
COMMENT ON COLUMN "reporting"."request_facts"."department_id" IS 'tiledesk.departments.id';
COMMENT ON COLUMN "reporting"."request_facts"."lead_id" IS 'tiledesk.leads.id';
COMMENT ON COLUMN "reporting"."request_facts"."closer_id" IS 'User id of the person who closed it; null when a bot or the server did';
COMMENT ON COLUMN "reporting"."request_facts"."agent_ids" IS 'User ids of the people who take part, each once';
COMMENT ON COLUMN "reporting"."request_facts"."first_response_business_ms" IS 'Of first_response_ms, the part within business hours; null: no business hours are set, or more than ten years passed';

CREATE TABLE IF NOT EXISTS "reporting"."request_days" (
  "connection_id" text NOT NULL,
  "day" date NOT NULL,
  "channel" text NOT NULL,
  "department_id" text NOT NULL,
  "opened" bigint NOT NULL,
  "closed" bigint NOT NULL,
  "abandoned" bigint NOT NULL,
  "rated" bigint NOT NULL,
  "satisfied" bigint NOT NULL,
  "rating_sum" numeric NOT NULL,
  PRIMARY KEY ("connection_id", "day", "channel", "department_id")
);
COMMENT ON TABLE "reporting"."request_days" IS 'Sums of reporting.request_facts by day, channel and department, kept current by adding what a refresh changed; read by requests_daily and csat';
COMMENT ON COLUMN "reporting"."request_days"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."request_days"."day" IS 'Day in the time zone of the account';
COMMENT ON COLUMN "reporting"."request_days"."channel" IS 'Channel name; empty: none';
COMMENT ON COLUMN "reporting"."request_days"."department_id" IS 'tiledesk.departments.id; empty: none';
COMMENT ON COLUMN "reporting"."request_days"."opened" IS 'Requests opened that day';
COMMENT ON COLUMN "reporting"."request_days"."closed" IS 'Requests closed that day, and closed now';
COMMENT ON COLUMN "reporting"."request_days"."abandoned" IS 'Of the opened: abandoned now';
COMMENT ON COLUMN "reporting"."request_days"."rated" IS 'Of the opened: rated';
COMMENT ON COLUMN "reporting"."request_days"."satisfied" IS 'Of the rated: 4 or more';
COMMENT ON COLUMN "reporting"."request_days"."rating_sum" IS 'Sum of the ratings';

CREATE TABLE IF NOT EXISTS "reporting"."agent_days" (
  "connection_id" text NOT NULL,
  "day" date NOT NULL,
  "agent_id" text NOT NULL,
  "requests" bigint NOT NULL,
  "answered" bigint NOT NULL,
  "closed" bigint NOT NULL,
  "rated" bigint NOT NULL,
  "rating_sum" numeric NOT NULL,
  PRIMARY KEY ("connection_id", "day", "agent_id")
);
COMMENT ON TABLE "reporting"."agent_days" IS 'Sums of reporting.request_facts by day and agent; read by agent_activity';
COMMENT ON COLUMN "reporting"."agent_days"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."agent_days"."day" IS 'Day in the time zone of the account';
COMMENT ON COLUMN "reporting"."agent_days"."agent_id" IS 'User id';
COMMENT ON COLUMN "reporting"."agent_days"."requests" IS 'Requests opened that day in which the agent takes part';
COMMENT ON COLUMN "reporting"."agent_days"."answered" IS 'Of these: answered';
COMMENT ON COLUMN "reporting"."agent_days"."closed" IS 'Requests that the agent closed that day, and that are closed now';
COMMENT ON COLUMN "reporting"."agent_days"."rated" IS 'Of the opened: rated';
COMMENT ON COLUMN "reporting"."agent_days"."rating_sum" IS 'Sum of these ratings';

CREATE TABLE IF NOT EXISTS "reporting"."response_stats" (
  "connection_id" text NOT NULL,
  "month" date,
  "dimension" text NOT NULL,
  "key" text NOT NULL,
  "requests" bigint NOT NULL,
  "answered" bigint NOT NULL,
  "first_response_ms" double precision[],
  "resolved" bigint NOT NULL,
  "resolution_ms" double precision[],
  "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "first_response_business_ms" double precision[]
);
CREATE INDEX IF NOT EXISTS "response_stats_month_idx" ON "reporting"."response_stats" ("connection_id", "month");
COMMENT ON TABLE "reporting"."response_stats" IS 'Percentiles of reporting.request_facts by month and over the whole history; read by response_times';
COMMENT ON COLUMN "reporting"."response_stats"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."response_stats"."month" IS 'First day of the month in which the requests were opened; null: the whole history';
COMMENT ON COLUMN "reporting"."response_stats"."dimension" IS 'all, department, agent, weekday or hour';
COMMENT ON COLUMN "reporting"."response_stats"."key" IS 'Id of the department or agent, weekday 1 (Monday) to 7, hour 00 to 23; empty: none';
COMMENT ON COLUMN "reporting"."response_stats"."requests" IS 'Requests opened';
COMMENT ON COLUMN "reporting"."response_stats"."answered" IS 'Of these: with a first response time';
COMMENT ON COLUMN "reporting"."response_stats"."first_response_ms" IS 'Median and 90th percentile, milliseconds';
COMMENT ON COLUMN "reporting"."response_stats"."resolved" IS 'Of the requests: with a resolution time';
COMMENT ON COLUMN "reporting"."response_stats"."resolution_ms" IS 'Median and 90th percentile, milliseconds';
COMMENT ON COLUMN "reporting"."response_stats"."row_id" IS 'Primary key without a meaning';
COMMENT ON COLUMN "reporting"."response_stats"."first_response_business_ms" IS 'Median and 90th percentile, milliseconds; null: no business hours are set';

CREATE TABLE IF NOT EXISTS "reporting"."response_histories" (
  "connection_id" text PRIMARY KEY,
  "is_outdated" boolean NOT NULL,
  "computed_at" timestamptz,
  "as_of" timestamptz,
  "took_ms" bigint,
  "business_windows" int4range[]
);
COMMENT ON TABLE "reporting"."response_histories" IS 'When the percentiles over the whole history were computed: again after a change, and no more than a fiftieth of the time';
COMMENT ON COLUMN "reporting"."response_histories"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."response_histories"."is_outdated" IS 'Requests changed since';
COMMENT ON COLUMN "reporting"."response_histories"."computed_at" IS 'Computed (UTC)';
COMMENT ON COLUMN "reporting"."response_histories"."as_of" IS 'How fresh the requests were (UTC)';
COMMENT ON COLUMN "reporting"."response_histories"."took_ms" IS 'Duration, milliseconds';
COMMENT ON COLUMN "reporting"."response_histories"."business_windows" IS 'The business hours that the requests of the account were computed with';

CREATE TABLE IF NOT EXISTS "reporting"."lead_facts" (
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "is_counted" boolean NOT NULL,
  "created_on" date,
  "created_at" timestamptz,
  "external_id" text,
  "email_key" text,
  "phone_key" text,
  "name" text,
  "phone" text,
  "company" text,
  "requests" bigint NOT NULL DEFAULT 0,
  "open_requests" bigint NOT NULL DEFAULT 0,
  "is_answered" boolean NOT NULL DEFAULT false,
  "is_closed" boolean NOT NULL DEFAULT false,
  "is_rated" boolean NOT NULL DEFAULT false,
  "last_chat_at" timestamptz,
  "person_key" text,
  "matched_by" text,
  PRIMARY KEY ("id", "connection_id")
);
COMMENT ON TABLE "reporting"."lead_facts" IS 'One slim row per lead; of one that does not count, no personal data; read by lead_funnel';
COMMENT ON COLUMN "reporting"."lead_facts"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."lead_facts"."id" IS 'tiledesk.leads.id';
COMMENT ON COLUMN "reporting"."lead_facts"."is_counted" IS 'Alive, and not temporary (50). Views count only these';
COMMENT ON COLUMN "reporting"."lead_facts"."created_on" IS 'Day of created_at in the time zone of the account';
COMMENT ON COLUMN "reporting"."lead_facts"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "reporting"."lead_facts"."external_id" IS 'tiledesk.leads.lead_id';
COMMENT ON COLUMN "reporting"."lead_facts"."email_key" IS 'E-mail address in lower case; null: none that can be one';
COMMENT ON COLUMN "reporting"."lead_facts"."phone_key" IS 'Digits of the phone number, 00 or + in front left out; null: none that can be one';
COMMENT ON COLUMN "reporting"."lead_facts"."name" IS 'tiledesk.leads.fullname';
COMMENT ON COLUMN "reporting"."lead_facts"."phone" IS 'As given';
COMMENT ON COLUMN "reporting"."lead_facts"."company" IS 'As given';
COMMENT ON COLUMN "reporting"."lead_facts"."requests" IS 'Its requests that count';
COMMENT ON COLUMN "reporting"."lead_facts"."open_requests" IS 'Of these: open';
COMMENT ON COLUMN "reporting"."lead_facts"."is_answered" IS 'One of them was answered';
COMMENT ON COLUMN "reporting"."lead_facts"."is_closed" IS 'One of them was answered and is closed';
COMMENT ON COLUMN "reporting"."lead_facts"."is_rated" IS 'One of them was answered, is closed and rated';
COMMENT ON COLUMN "reporting"."lead_facts"."last_chat_at" IS 'The newest of them was opened (UTC)';
COMMENT ON COLUMN "reporting"."lead_facts"."person_key" IS 'reporting.people.person_key';
COMMENT ON COLUMN "reporting"."lead_facts"."matched_by" IS 'What that key comes from: email or phone; null: the lead alone';

CREATE TABLE IF NOT EXISTS "reporting"."visit_facts" (
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "link_id" text,
  "is_counted" boolean NOT NULL,
  "visited_at" timestamptz,
  "visited_on" date,
  "time_read_ms" bigint,
  "percent_read" double precision,
  "is_signed" boolean NOT NULL,
  PRIMARY KEY ("connection_id", "id")
);
COMMENT ON TABLE "reporting"."visit_facts" IS 'One slim row per visit (tilkee.connexions)';
COMMENT ON COLUMN "reporting"."visit_facts"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."visit_facts"."id" IS 'tilkee.connexions.id';
COMMENT ON COLUMN "reporting"."visit_facts"."link_id" IS 'tilkee.tokens.id; null while it is not known';
COMMENT ON COLUMN "reporting"."visit_facts"."is_counted" IS 'Alive. Views count only these';
COMMENT ON COLUMN "reporting"."visit_facts"."visited_at" IS 'The visit began (UTC)';
COMMENT ON COLUMN "reporting"."visit_facts"."visited_on" IS 'Day of visited_at in the time zone of the account';
COMMENT ON COLUMN "reporting"."visit_facts"."time_read_ms" IS 'Length of the visit, milliseconds';
COMMENT ON COLUMN "reporting"."visit_facts"."percent_read" IS 'Share read, 0 to 100';
COMMENT ON COLUMN "reporting"."visit_facts"."is_signed" IS 'Something was signed';

CREATE TABLE IF NOT EXISTS "reporting"."link_facts" (
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "is_counted" boolean NOT NULL,
  "sent_at" timestamptz,
  "sent_on" date,
  "archived_at" timestamptz,
  "name" text,
  "external_id" text,
  "project_id" text,
  "creator_id" text,
  "won" text,
  "is_consulted" boolean NOT NULL,
  "is_signed" boolean NOT NULL,
  "is_downloaded" boolean NOT NULL,
  "interest" double precision,
  "first_access_at" timestamptz,
  "last_access_at" timestamptz,
  "total_time_ms" bigint,
  "access_count" bigint,
  "percent_read" double precision,
  "email_key" text,
  "phone_key" text,
  "visits" bigint NOT NULL DEFAULT 0,
  "visits_time_ms" bigint,
  "visits_percent" double precision,
  "is_signed_in_visit" boolean NOT NULL DEFAULT false,
  "first_visit_at" timestamptz,
  "last_visit_at" timestamptz,
  "person_key" text,
  "matched_by" text,
  PRIMARY KEY ("connection_id", "id")
);
COMMENT ON TABLE "reporting"."link_facts" IS 'One slim row per Tilkee link (tilkee.tokens), with the sums of its visits; read by link_engagement';
COMMENT ON COLUMN "reporting"."link_facts"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."link_facts"."id" IS 'tilkee.tokens.id';
COMMENT ON COLUMN "reporting"."link_facts"."is_counted" IS 'Alive; archived ones count. Views count only these';
COMMENT ON COLUMN "reporting"."link_facts"."sent_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."sent_on" IS 'Day of sent_at in the time zone of the account';
COMMENT ON COLUMN "reporting"."link_facts"."archived_at" IS 'Archived (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."name" IS 'Label, normally the recipient';
COMMENT ON COLUMN "reporting"."link_facts"."external_id" IS 'The caller''s own contact id';
COMMENT ON COLUMN "reporting"."link_facts"."project_id" IS 'tilkee.projects.id';
COMMENT ON COLUMN "reporting"."link_facts"."creator_id" IS 'tilkee.users.id';
COMMENT ON COLUMN "reporting"."link_facts"."won" IS 'Outcome of the link, as upstream: won, lost, ac, na';
COMMENT ON COLUMN "reporting"."link_facts"."is_consulted" IS 'Was opened, by the upstream';
COMMENT ON COLUMN "reporting"."link_facts"."is_signed" IS 'Was signed, by the upstream';
COMMENT ON COLUMN "reporting"."link_facts"."is_downloaded" IS 'Was downloaded, by the upstream';
COMMENT ON COLUMN "reporting"."link_facts"."interest" IS 'Interest score, as upstream';
COMMENT ON COLUMN "reporting"."link_facts"."first_access_at" IS 'First visit, by the link (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."last_access_at" IS 'Last visit, by the link (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."total_time_ms" IS 'Time spent reading, by the link, milliseconds';
COMMENT ON COLUMN "reporting"."link_facts"."access_count" IS 'Visits, by the link';
COMMENT ON COLUMN "reporting"."link_facts"."percent_read" IS 'Share read, by the link, 0 to 100';
COMMENT ON COLUMN "reporting"."link_facts"."email_key" IS 'E-mail address in external_id or name, in lower case';
COMMENT ON COLUMN "reporting"."link_facts"."phone_key" IS 'Digits of the phone number in external_id or name, where one with + or 00 in front is all there is';
COMMENT ON COLUMN "reporting"."link_facts"."visits" IS 'Alive visits in the mirror';
COMMENT ON COLUMN "reporting"."link_facts"."visits_time_ms" IS 'Their time, milliseconds';
COMMENT ON COLUMN "reporting"."link_facts"."visits_percent" IS 'The greatest share that one of them read, 0 to 100';
COMMENT ON COLUMN "reporting"."link_facts"."is_signed_in_visit" IS 'Something was signed in one of them';
COMMENT ON COLUMN "reporting"."link_facts"."first_visit_at" IS 'The first of them (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."last_visit_at" IS 'The last of them (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."person_key" IS 'reporting.people.person_key';
COMMENT ON COLUMN "reporting"."link_facts"."matched_by" IS 'What that key comes from: external_id, email or phone; null: the link alone';

CREATE TABLE IF NOT EXISTS "reporting"."people" (
  "person_key" text NOT NULL,
  "name" text,
  "email" text,
  "phone" text,
  "company" text,
  "matched_by" text[],
  "leads" bigint NOT NULL,
  "links" bigint NOT NULL,
  "lead_ids" text[] NOT NULL,
  "link_ids" text[] NOT NULL,
  "first_seen_at" timestamptz,
  "requests" bigint NOT NULL,
  "open_requests" bigint NOT NULL,
  "last_chat_at" timestamptz,
  "visits" bigint NOT NULL,
  "last_visit_at" timestamptz,
  "time_read_ms" bigint NOT NULL,
  "percent_read" double precision,
  "interest" double precision,
  "outcome" text,
  "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
-- By digest: an index entry has an upper limit, and ids have none. An address in email has at most 1,000 characters.
COMMENT ON TABLE "reporting"."people" IS 'One row per person of several leads or links; read by lead_360, which explains the columns and adds those of one lead alone';
COMMENT ON COLUMN "reporting"."people"."person_key" IS 'email:, phone:, lead: or link: and what identifies the person';
COMMENT ON COLUMN "reporting"."people"."name" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."email" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."phone" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."company" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."matched_by" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."leads" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."links" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."lead_ids" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."link_ids" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."first_seen_at" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."requests" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."open_requests" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."last_chat_at" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."visits" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."last_visit_at" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."time_read_ms" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."percent_read" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."interest" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."outcome" IS 'See lead_360';
COMMENT ON COLUMN "reporting"."people"."row_id" IS 'Primary key without a meaning; another one after each refresh';

-- Between the end of a state (to_after) and the beginning of the next (to_before) anything can have been: a reopening and a closing between two looks show
-- as another closed_at only.
CREATE TABLE IF NOT EXISTS "reporting"."request_states" (
  "seq" bigint NOT NULL,
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "status" integer,
  "status_before" integer,
  "is_open" boolean NOT NULL,
  "was_open" boolean NOT NULL,
  "is_first" boolean NOT NULL,
  "is_other" boolean NOT NULL,
  "is_reassigned" boolean NOT NULL,
  "department_id" text,
  "department_before" text,
  "channel" text,
  "channel_before" text,
  "agent_id" text,
  "closed_at" timestamptz,
  "from_after" timestamptz,
  "from_before" timestamptz NOT NULL,
  "to_after" timestamptz,
  "to_before" timestamptz,
  PRIMARY KEY ("seq", "connection_id", "id")
);
CREATE INDEX IF NOT EXISTS "request_states_id_idx" ON "reporting"."request_states" ("connection_id", "id");
COMMENT ON TABLE "reporting"."request_states" IS 'States of requests as the mirror saw them; read by backlog_daily, status_times and sla. Empty while tiledesk.requests has no history';
COMMENT ON COLUMN "reporting"."request_states"."seq" IS 'Of the version with which it began: order of the states of one request';
COMMENT ON COLUMN "reporting"."request_states"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."request_states"."id" IS 'tiledesk.requests.id';
COMMENT ON COLUMN "reporting"."request_states"."status" IS '50 temporary, 100 unassigned, 150 abandoned, 200 assigned, 1000 closed';
COMMENT ON COLUMN "reporting"."request_states"."status_before" IS 'Of the state before';
COMMENT ON COLUMN "reporting"."request_states"."is_open" IS 'Counted, and neither closed nor abandoned';
COMMENT ON COLUMN "reporting"."request_states"."was_open" IS 'So was the state before';
COMMENT ON COLUMN "reporting"."request_states"."is_first" IS 'There is no state before';
COMMENT ON COLUMN "reporting"."request_states"."is_other" IS 'The first one, or it differs from the one before in more than department, channel or agents';
COMMENT ON COLUMN "reporting"."request_states"."is_reassigned" IS 'It has other agents than the one before, and both have some';
COMMENT ON COLUMN "reporting"."request_states"."department_id" IS 'tiledesk.departments.id';
COMMENT ON COLUMN "reporting"."request_states"."department_before" IS 'Of the state before';
COMMENT ON COLUMN "reporting"."request_states"."channel" IS 'Channel name';
COMMENT ON COLUMN "reporting"."request_states"."channel_before" IS 'Of the state before';
COMMENT ON COLUMN "reporting"."request_states"."agent_id" IS 'User id of the first agent; null: none';
COMMENT ON COLUMN "reporting"."request_states"."closed_at" IS 'Last closing (UTC); it stays after a reopening';
COMMENT ON COLUMN "reporting"."request_states"."from_after" IS 'It began after this moment (UTC); null: not known';
COMMENT ON COLUMN "reporting"."request_states"."from_before" IS 'It began at this moment or before it (UTC)';
COMMENT ON COLUMN "reporting"."request_states"."to_after" IS 'It ended after this moment (UTC); null: not known, or not ended';
COMMENT ON COLUMN "reporting"."request_states"."to_before" IS 'It ended at this moment or before it (UTC); null: not ended';

CREATE TABLE IF NOT EXISTS "reporting"."backlog_changes" (
  "connection_id" text NOT NULL,
  "day" date NOT NULL,
  "department_id" text NOT NULL,
  "channel" text NOT NULL,
  "open" integer NOT NULL,
  "unassigned" integer NOT NULL,
  "open_least" integer NOT NULL,
  "open_most" integer NOT NULL,
  "closed" integer NOT NULL,
  "reopened" integer NOT NULL,
  PRIMARY KEY ("connection_id", "day", "department_id", "channel")
);
COMMENT ON TABLE "reporting"."backlog_changes" IS 'How many more requests were open at the end of a day than the day before, from request_states; added up by backlog_daily';
COMMENT ON COLUMN "reporting"."backlog_changes"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."backlog_changes"."day" IS 'Day in the time zone of the account';
COMMENT ON COLUMN "reporting"."backlog_changes"."department_id" IS 'tiledesk.departments.id; empty: none';
COMMENT ON COLUMN "reporting"."backlog_changes"."channel" IS 'Channel name; empty: none';
COMMENT ON COLUMN "reporting"."backlog_changes"."open" IS 'So many more were open when the day ended, by the best estimate';
COMMENT ON COLUMN "reporting"."backlog_changes"."unassigned" IS 'The same of those with status 100';
COMMENT ON COLUMN "reporting"."backlog_changes"."open_least" IS 'The same of those that were open for certain';
COMMENT ON COLUMN "reporting"."backlog_changes"."open_most" IS 'The same of those that may have been open';
COMMENT ON COLUMN "reporting"."backlog_changes"."closed" IS 'Closed on that day, as far as seen';
COMMENT ON COLUMN "reporting"."backlog_changes"."reopened" IS 'Reopened on that day, as far as seen';

CREATE TABLE IF NOT EXISTS "reporting"."removed_requests" (
  "connection_id" text NOT NULL,
  "id" text NOT NULL,
  "row_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
COMMENT ON TABLE "reporting"."removed_requests" IS 'Requests of which versions were deleted: the next refresh removes their states. Empty behind it';
COMMENT ON COLUMN "reporting"."removed_requests"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."removed_requests"."id" IS 'tiledesk.requests.id';
COMMENT ON COLUMN "reporting"."removed_requests"."row_id" IS 'Primary key without a meaning';

-- A refresh analyzes what it filled before it reads it: a fifth of the usual sample is enough for these plans.
DO $$
DECLARE
  facts record;
BEGIN
  FOR facts IN
    SELECT attrelid::regclass AS name, attname FROM pg_attribute
    WHERE attrelid = ANY ('{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[])
      AND attnum > 0 AND NOT attisdropped
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 20', facts.name, facts.attname);
  END LOOP;
END
$$;

-- Keeping them current -----------------------------------------------------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION "reporting"."email_of"(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT substring(lower(left(given, 1000)) FROM '[a-z0-9._%+''-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+')
$$;
COMMENT ON FUNCTION "reporting"."email_of"(text) IS 'The first e-mail address in a text, in lower case; null: there is none';

-- Without regular expressions, and not called for what is null: a third of the time.
CREATE OR REPLACE FUNCTION "reporting"."phone_of"(given text) RETURNS text LANGUAGE plpgsql STRICT IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  digits text := left(given, 100);
BEGIN
  digits := translate(digits, translate(digits, '0123456789', ''), '');
  IF left(digits, 2) = '00' THEN digits := substr(digits, 3); END IF;
  RETURN CASE WHEN length(digits) BETWEEN 7 AND 15 AND translate(digits, left(digits, 1), '') <> '' THEN digits END;
END
$$;
COMMENT ON FUNCTION "reporting"."phone_of"(text) IS 'The digits of a phone number, 00 or + in front left out; null: not 7 to 15 digits, or one digit repeated';

-- The moment before which nothing can still be written. A row is stamped with the beginning of its transaction, and transactions do not commit in the
-- order of their beginnings: the next refresh has to read from the oldest one that is under way now. Of a session that may write and whose beginning
-- this role may not see, an hour is assumed; a clock that was set back is allowed a minute.
CREATE OR REPLACE FUNCTION "reporting"."write_horizon"() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT least(clock_timestamp(), min(a.xact_start),
      min(clock_timestamp() - interval '1 hour') FILTER (WHERE a.state IS NULL AND a.xact_start IS NULL
        AND has_table_privilege(a.usesysid, 'tiledesk.requests', 'INSERT, UPDATE')))
    - interval '1 minute'
  FROM pg_stat_activity a
  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'
$$;
COMMENT ON FUNCTION "reporting"."write_horizon"() IS 'Every row that a transaction not yet visible has written, or will write, is stamped later than this';

-- What rows are read: those written since a moment ($1), those of one account ($2), or all of them.
CREATE OR REPLACE FUNCTION "reporting"."scope_of"(only_connection text, is_full boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN is_full THEN '($1 is null or true) and ($2 is null or true)' WHEN only_connection IS NOT NULL THEN '($1 is null or true) and r.connection_id = $2'
    ELSE '($2 is null or true) and r.synced_at >= $1' END
$$;
COMMENT ON FUNCTION "reporting"."scope_of"(text, boolean) IS 'The condition on mirrored rows with which a part of the refresh reads them';

-- A view of each mirrored table that shows only the rows that are there: not what is gone upstream, and not what is left of an erased person. With it the
-- names of status codes, and the names of agents in the reporting view of requests.
CREATE OR REPLACE FUNCTION "reporting"."status_name"(stream text, status integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE stream
    WHEN 'tiledesk.requests' THEN CASE status WHEN 50 THEN 'temporary' WHEN 100 THEN 'unassigned' WHEN 150 THEN 'abandoned' WHEN 200 THEN 'assigned'
      WHEN 1000 THEN 'closed' ELSE status::text END
    WHEN 'tiledesk.leads' THEN CASE status WHEN 50 THEN 'temporary' WHEN 100 THEN 'normal' WHEN 1000 THEN 'deleted' ELSE status::text END
    WHEN 'tiledesk.departments' THEN CASE status WHEN 0 THEN 'hidden' WHEN 1 THEN 'visible' ELSE status::text END
    WHEN 'tiledesk.messages' THEN CASE status WHEN -100 THEN 'failed' WHEN 0 THEN 'sending' WHEN 100 THEN 'sent' WHEN 150 THEN 'delivered'
      WHEN 200 THEN 'received' WHEN 250 THEN 'return receipt' WHEN 300 THEN 'seen' ELSE status::text END
  END
$$;
COMMENT ON FUNCTION "reporting"."status_name"(text, integer) IS 'The name of a status code of a stream; of a code that Tiledesk does not define, the number';

-- A first computation fills tables that have no index but their primary key, without which logical replication publishes no change of them: to build an index
-- from rows that are there costs a fifth of adding to it row by row, and no reader waits for it.
CREATE OR REPLACE FUNCTION "reporting"."make_indexes"(facts regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  missing record;
  is_filled boolean;
BEGIN
  FOR missing IN
    SELECT is_key, name, definition FROM (VALUES
      ('reporting.people', true, 'people_person_key_idx', 'reporting.people (md5(person_key))'),
      ('reporting.people', false, 'people_email_idx', 'reporting.people (email)'),
      ('reporting.people', false, 'people_key_idx', 'reporting.people USING hash (person_key)'),
      ('reporting.people', false, 'people_first_seen_at_idx', 'reporting.people (first_seen_at)'),
      ('reporting.people', false, 'people_last_chat_at_idx', 'reporting.people (last_chat_at)'),
      ('reporting.people', false, 'people_last_contact_idx', 'reporting.people (greatest(last_chat_at, last_visit_at))'),
      ('reporting.people', false, 'people_of_both_idx', 'reporting.people (greatest(last_chat_at, last_visit_at))
        WHERE requests > 0 AND visits > 0'),
      ('reporting.request_facts', false, 'request_facts_opened_on_idx', 'reporting.request_facts (connection_id, opened_on)'),
      ('reporting.request_facts', false, 'request_facts_lead_id_idx', 'reporting.request_facts (lead_id, connection_id)'),
      ('reporting.request_facts', false, 'request_facts_open_idx', 'reporting.request_facts (connection_id, department_id, channel, status)
        INCLUDE (is_answered, opened_at) WHERE is_open'),
      ('reporting.request_facts', false, 'request_facts_unanswered_idx', 'reporting.request_facts (opened_at) WHERE is_open AND NOT is_answered'),
      ('reporting.lead_facts', false, 'lead_facts_created_at_idx', 'reporting.lead_facts (created_at)'),
      ('reporting.lead_facts', false, 'lead_facts_last_chat_at_idx', 'reporting.lead_facts (last_chat_at)'),
      -- The key of a lead with an address is that address: the first finds by both, the third the other leads.
      ('reporting.lead_facts', false, 'lead_facts_email_key_idx', 'reporting.lead_facts (email_key) WHERE email_key IS NOT NULL'),
      ('reporting.lead_facts', false, 'lead_facts_phone_key_idx', 'reporting.lead_facts (phone_key) WHERE phone_key IS NOT NULL'),
      ('reporting.lead_facts', false, 'lead_facts_other_key_idx', 'reporting.lead_facts USING hash (person_key) WHERE email_key IS NULL'),
      ('reporting.visit_facts', false, 'visit_facts_link_id_idx', 'reporting.visit_facts (connection_id, link_id)'),
      ('reporting.visit_facts', false, 'visit_facts_visited_on_idx', 'reporting.visit_facts (connection_id, visited_on)'),
      ('reporting.link_facts', false, 'link_facts_project_id_idx', 'reporting.link_facts (connection_id, project_id)'),
      ('reporting.link_facts', false, 'link_facts_external_id_idx', 'reporting.link_facts USING hash (external_id)'),
      ('reporting.link_facts', false, 'link_facts_phone_key_idx', 'reporting.link_facts (phone_key)'),
      ('reporting.link_facts', false, 'link_facts_person_key_idx', 'reporting.link_facts USING hash (person_key)'),
      ('reporting.link_facts', false, 'link_facts_sent_on_idx', 'reporting.link_facts (sent_on)'),
      -- Only links look leads up by it.
      ('reporting.link_facts', false, 'lead_facts_external_id_idx', 'reporting.lead_facts USING hash (external_id)')
    ) AS i(facts, is_key, name, definition)
    WHERE i.facts::regclass = make_indexes.facts AND to_regclass('reporting.' || i.name) IS NULL
  LOOP
    IF is_filled IS NULL THEN EXECUTE format('SELECT EXISTS (SELECT FROM %s)', facts) INTO is_filled; END IF;
    IF is_filled OR missing.is_key THEN
      EXECUTE format('CREATE %s INDEX %I ON %s', CASE WHEN missing.is_key THEN 'UNIQUE' END, missing.name, missing.definition);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION "reporting"."make_indexes"(regclass) IS 'Part of the refresh: the key of a table, and its other indexes once it has got its first rows';

CREATE OR REPLACE FUNCTION "reporting"."is_mostly_new"(mirrored regclass, facts regclass, since timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  few CONSTANT bigint := 1000 + (SELECT greatest(reltuples, 0) / 4 FROM pg_class WHERE oid = facts);
  written bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM %s WHERE synced_at >= $1 LIMIT $2 + 1) r', mirrored) INTO written USING since, few;
  RETURN written > few;
END
$$;
COMMENT ON FUNCTION "reporting"."is_mostly_new"(regclass, regclass, timestamptz) IS 'Part of the refresh: so much was written since the last one that reading all rows costs less than noting what changed';

-- Each window begins and ends by the clock of its own day, so a change of the clock within it counts as it was.
CREATE OR REPLACE FUNCTION "reporting"."business_ms"(began timestamptz, ended timestamptz, windows int4range[], zone text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  RETURN (
    SELECT coalesce(sum(extract(epoch FROM least(ended, w.closes) - greatest(began, w.opens)) * 1000), 0)::bigint
    FROM generate_series(date_trunc('week', began AT TIME ZONE zone), ended AT TIME ZONE zone, interval '7 days') AS monday
    CROSS JOIN LATERAL (SELECT (monday + lower(span) * interval '1 minute') AT TIME ZONE zone AS opens,
      (monday + upper(span) * interval '1 minute') AT TIME ZONE zone AS closes FROM unnest(windows) AS span) w
    WHERE w.opens < ended AND w.closes > began
  );
END
$$;
COMMENT ON FUNCTION "reporting"."business_ms"(timestamptz, timestamptz, int4range[], text) IS 'How much of the time between two instants is within these windows, in a time zone';

CREATE OR REPLACE FUNCTION "reporting"."hours_of"(account text) RETURNS int4range[] LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT business_windows FROM reporting.settings WHERE connection_id = account),
    (SELECT business_windows FROM reporting.settings WHERE connection_id = '*'));
$$;
COMMENT ON FUNCTION "reporting"."hours_of"(text) IS 'The business hours that hold for an account, as minutes of the week; empty or null: none';

CREATE OR REPLACE FUNCTION "reporting"."note_removed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO reporting.removed_requests (connection_id, id) SELECT DISTINCT connection_id, id FROM deleted;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION "reporting"."note_removed"() IS 'Notes of which requests versions were deleted';

-- A state counts on each day at whose end it was so, from one more on the first of them to one less after the last; an event on its day.
CREATE OR REPLACE FUNCTION "reporting"."backlog_changes_of"(s "reporting"."request_states", zone text)
RETURNS TABLE (day date, department_id text, channel text, open integer, unassigned integer, open_least integer, open_most integer, closed integer, reopened integer)
LANGUAGE sql STABLE AS $$
  SELECT d.day, i.department_id, i.channel, d.change * i.open, d.change * i.unassigned, d.change * i.least, d.change * i.most, i.closed, i.reopened
  FROM (SELECT s.is_open AND s.was_open AND NOT s.is_other AND s.department_id IS NOT DISTINCT FROM s.department_before
      AND s.channel IS NOT DISTINCT FROM s.channel_before AS is_sure,
    s.is_open OR s.was_open OR s.is_other AS is_possible) p
  CROSS JOIN LATERAL (VALUES
    -- The best estimate: a request that was open when it was first seen was so from its beginning on.
    (CASE WHEN s.is_first AND s.closed_at IS NULL THEN coalesce(s.from_after, s.from_before) ELSE s.from_before END, s.to_before,
      s.department_id, s.channel, s.is_open::int, (s.is_open AND s.status = 100)::int, 0, 0, 0, 0),
    (s.from_before, s.to_after, s.department_id, s.channel, 0, 0, s.is_open::int, s.is_open::int, 0, 0),
    (s.from_after, s.from_before, s.department_id, s.channel, 0, 0, p.is_sure::int, p.is_possible::int, 0, 0),
    -- It may have been where it was before.
    (s.from_after, s.from_before, s.department_before, s.channel_before, 0, 0, 0, (p.is_possible AND NOT s.is_first
      AND (s.department_id, s.channel) IS DISTINCT FROM (s.department_before, s.channel_before))::int, 0, 0),
    (CASE WHEN s.closed_at BETWEEN s.from_after AND s.from_before THEN s.closed_at ELSE s.from_before END, NULL, s.department_id, s.channel, 0, 0, 0, 0,
      (s.status = 1000 AND s.status_before IS DISTINCT FROM 1000)::int, (s.status_before = 1000 AND s.is_open)::int)
  ) i (since, until, department_id, channel, open, unassigned, least, most, closed, reopened)
  CROSS JOIN LATERAL (SELECT (i.since AT TIME ZONE zone)::date AS since, (i.until AT TIME ZONE zone)::date AS until) n
  CROSS JOIN LATERAL (VALUES (n.since, 1), (n.until, -1)) d (day, change)
  WHERE i.open + i.least + i.most + i.closed + i.reopened > 0 AND d.day IS NOT NULL AND (n.since < n.until OR n.until IS NULL)
$$;
COMMENT ON FUNCTION "reporting"."backlog_changes_of"("reporting"."request_states", text) IS 'What one state adds to backlog_changes';

CREATE OR REPLACE FUNCTION "reporting"."refresh_backlog"(since timestamptz, only_connection text, is_full boolean, default_zone text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  noted bigint;
  is_kept boolean;
  states CONSTANT text := $sql$
    SELECT s.seq, s.connection_id, s.id, s.status, lag(s.status) OVER w, s.is_open, coalesce(lag(s.is_open) OVER w, false), lag(s.seq) OVER w IS NULL,
      lag(s.seq) OVER w IS NULL OR (lag(s.status) OVER w, lag(s.is_open) OVER w, lag(s.assigned_at) OVER w, lag(s.closed_at) OVER w)
        IS DISTINCT FROM (s.status, s.is_open, s.assigned_at, s.closed_at),
      coalesce(cardinality(s.agents) > 0 AND cardinality(lag(s.agents) OVER w) > 0 AND s.agents <> lag(s.agents) OVER w, false),
      s.department_id, lag(s.department_id) OVER w, s.channel, lag(s.channel) OVER w, s.agents[1], s.closed_at, s.from_after, s.from_before,
      lead(s.from_after) OVER w, lead(s.from_before) OVER w
    FROM (
      SELECT v.connection_id, v.id, v.seq, v.status, v.department_id, left(v.channel, 200) AS channel, v.participants_agents AS agents, v.assigned_at,
        v.closed_at, v.changed_after AS from_after, v.changed_before AS from_before, v.deleted_at IS NULL AND v.draft IS NOT TRUE
          AND v.preflight IS NOT TRUE AND (v.status IN (50, 150, 1000)) IS NOT TRUE AS is_open,
        lag(v.seq) OVER w IS NULL OR (v.status, v.department_id, v.channel, v.participants_agents, v.assigned_at, v.closed_at, v.draft, v.preflight, v.deleted_at)
          IS DISTINCT FROM (lag(v.status) OVER w, lag(v.department_id) OVER w, lag(v.channel) OVER w, lag(v.participants_agents) OVER w,
            lag(v.assigned_at) OVER w, lag(v.closed_at) OVER w, lag(v.draft) OVER w, lag(v.preflight) OVER w, lag(v.deleted_at) OVER w) AS is_change
      FROM %s v
      WINDOW w AS (PARTITION BY v.connection_id, v.id ORDER BY v.seq)
    ) s
    WHERE s.is_change
    WINDOW w AS (PARTITION BY s.connection_id, s.id ORDER BY s.seq) $sql$;
  changes CONSTANT text := $sql$
    INSERT INTO reporting.backlog_changes AS t
    SELECT (q.state).connection_id, d.day, coalesce(d.department_id, ''), coalesce(d.channel, ''), sum(q.sign * d.open), sum(q.sign * d.unassigned),
      sum(q.sign * d.open_least), sum(q.sign * d.open_most), sum(q.sign * d.closed), sum(q.sign * d.reopened)
    FROM (%s) q
    LEFT JOIN reporting.settings z ON z.connection_id = (q.state).connection_id
    CROSS JOIN LATERAL reporting.backlog_changes_of(q.state, coalesce(z.time_zone, $1)) d
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (connection_id, day, department_id, channel) DO UPDATE SET open = t.open + excluded.open, unassigned = t.unassigned + excluded.unassigned,
      open_least = t.open_least + excluded.open_least, open_most = t.open_most + excluded.open_most, closed = t.closed + excluded.closed,
      reopened = t.reopened + excluded.reopened $sql$;
BEGIN
  IF NOT EXISTS (SELECT FROM sync.history WHERE stream = 'tiledesk.requests' AND off_since IS NULL) THEN
    DELETE FROM reporting.removed_requests;
    DELETE FROM reporting.request_states;
    DELETE FROM reporting.backlog_changes;
    RETURN;
  END IF;
  IF only_connection IS NOT NULL THEN
    DELETE FROM reporting.backlog_changes WHERE connection_id = only_connection;
    EXECUTE format(changes, 'SELECT 1 AS sign, s AS state FROM reporting.request_states s WHERE connection_id = $2') USING default_zone, only_connection;
    RETURN;
  END IF;
  -- Old versions are dropped by the month, and states with them.
  EXECUTE $sql$
    SELECT EXISTS (SELECT FROM (SELECT * FROM reporting.request_states ORDER BY seq LIMIT 1) s
      JOIN tiledesk.requests_history h ON h.connection_id = s.connection_id AND h.id = s.id AND h.seq = s.seq) $sql$ INTO is_kept;
  is_full := is_full OR NOT is_kept;
  IF NOT is_full THEN
    EXECUTE $sql$
      WITH removed AS (DELETE FROM reporting.removed_requests RETURNING connection_id, id)
      INSERT INTO reporting.touched SELECT 'request', connection_id, id FROM tiledesk.requests_history WHERE seen_at >= $1
        UNION SELECT 'request', connection_id, id FROM removed $sql$ USING since;
    GET DIAGNOSTICS noted = ROW_COUNT;
    is_full := noted > 1000 + (SELECT greatest(reltuples, 0) / 4 FROM pg_class WHERE oid = 'reporting.request_states'::regclass);
  END IF;
  IF is_full THEN
    DELETE FROM reporting.removed_requests;
    DELETE FROM reporting.request_states;
    DELETE FROM reporting.backlog_changes;
    EXECUTE 'INSERT INTO reporting.request_states ' || format(states, 'tiledesk.requests_versions');
    ANALYZE reporting.request_states;
    EXECUTE format(changes, 'SELECT 1 AS sign, s AS state FROM reporting.request_states s') USING default_zone;
    RETURN;
  END IF;
  EXECUTE format($sql$
    WITH fresh AS MATERIALIZED (
      SELECT ROW(f.*)::reporting.request_states AS state FROM (%s) f
    ), same AS MATERIALIZED (
      SELECT s.seq, s.id FROM fresh f JOIN reporting.request_states s
        ON s.seq = (f.state).seq AND s.connection_id = (f.state).connection_id AND s.id = (f.state).id AND s IS NOT DISTINCT FROM f.state
    ), gone AS (
      DELETE FROM reporting.request_states s USING reporting.touched k
      WHERE k.kind = 'request' AND s.connection_id = k.connection_id AND s.id = k.value AND (s.seq, s.id) NOT IN (SELECT seq, id FROM same)
      RETURNING s AS state
    ), added AS (
      -- What it replaces has to be gone first.
      INSERT INTO reporting.request_states AS s SELECT (f.state).* FROM fresh f
      WHERE (SELECT count(*) FROM gone) >= 0 AND ((f.state).seq, (f.state).id) NOT IN (SELECT seq, id FROM same)
      RETURNING s AS state
    ) %s $sql$,
    -- OFFSET 0: the versions are looked up request by request.
    format(states, $sql$(SELECT v.* FROM reporting.touched k CROSS JOIN LATERAL (
      SELECT * FROM tiledesk.requests_versions o WHERE o.connection_id = k.connection_id AND o.id = k.value OFFSET 0) v WHERE k.kind = 'request')$sql$),
    format(changes, 'SELECT 1 AS sign, state FROM added UNION ALL SELECT -1, state FROM gone')) USING default_zone;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_backlog"(timestamptz, text, boolean, text) IS 'Part of the refresh: request_states and backlog_changes, of the requests that have new versions';

CREATE OR REPLACE FUNCTION "reporting"."refresh_names"(since timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  WITH incoming AS (
    SELECT 'department' AS kind, connection_id, id, name, NULL::text AS verdict, synced_at FROM tiledesk.departments WHERE synced_at >= since
    UNION ALL
    -- Somebody who left and came back has two memberships: the newest tells.
    SELECT * FROM (
      SELECT DISTINCT ON (connection_id, id_user) 'agent', connection_id, id_user,
        coalesce(nullif(concat_ws(' ', nullif(firstname, ''), nullif(lastname, '')), ''), email), NULL, synced_at
      FROM tiledesk.project_users WHERE synced_at >= since AND id_user IS NOT NULL
      ORDER BY connection_id, id_user, created_at DESC NULLS LAST, id DESC) a
    UNION ALL
    SELECT 'project', connection_id, id, name, verdict, synced_at FROM tilkee.projects WHERE synced_at >= since
    UNION ALL
    SELECT 'user', connection_id, id, coalesce(nullif(concat_ws(' ', nullif(first_name, ''), nullif(last_name, '')), ''), email), NULL, synced_at
    FROM tilkee.users WHERE synced_at >= since
  ), changed AS (
    SELECT i.*, i.kind = 'project' AND i.verdict IS DISTINCT FROM n.verdict AS is_other_verdict
    FROM incoming i LEFT JOIN reporting.names n USING (kind, connection_id, id)
    WHERE n.id IS NULL OR i.name IS DISTINCT FROM n.name OR i.verdict IS DISTINCT FROM n.verdict
  ), noted AS (
    INSERT INTO reporting.touched SELECT 'project', connection_id, id FROM changed WHERE is_other_verdict
  )
  INSERT INTO reporting.names SELECT kind, connection_id, id, name, verdict FROM changed
  ON CONFLICT (kind, connection_id, id) DO UPDATE SET name = excluded.name, verdict = excluded.verdict;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_names"(timestamptz) IS 'Part of the refresh: reporting.names';

-- The first computation reads each request fewer times.
CREATE OR REPLACE FUNCTION "reporting"."refresh_requests"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  is_first CONSTANT boolean := is_full AND NOT EXISTS (SELECT FROM reporting.request_facts);
  account text;
  incoming CONSTANT text := $sql$
    SELECT r.connection_id, r.id, r.status,
      extract(hour FROM r.created_at AT TIME ZONE z.zone)::smallint AS opened_hour,
      c.is_counted,
      c.is_counted AND r.status IS DISTINCT FROM 1000 AND r.status IS DISTINCT FROM 150 AS is_open,
      r.first_response_at IS NOT NULL OR r.waiting_time_ms IS NOT NULL AS is_answered,
      (r.created_at AT TIME ZONE z.zone)::date AS opened_on,
      CASE WHEN r.status = 1000 THEN (r.closed_at AT TIME ZONE z.zone)::date END AS closed_on,
      r.created_at AS opened_at, r.first_response_at,
      CASE WHEN r.status = 1000 THEN r.closed_at END AS closed_at,
      CASE WHEN d.first_response_ms >= 0 THEN d.first_response_ms END AS first_response_ms,
      CASE WHEN r.status = 1000 AND d.resolution_ms >= 0 THEN d.resolution_ms END AS resolution_ms,
      r.rating::numeric AS rating, left(r.channel, 200) AS channel, r.department_id, r.lead_id,
      CASE WHEN r.status = 1000 AND r.closed_by <> 'system' AND left(r.closed_by, 1) <> '_' AND left(r.closed_by, 4) <> 'bot_'
        AND (r.closed_by = ANY (r.participants_bots)) IS NOT TRUE THEN left(r.closed_by, 200) END AS closer_id,
      CASE WHEN cardinality(r.participants_agents) > 1 THEN ARRAY(SELECT DISTINCT left(a, 200) FROM unnest(r.participants_agents) a ORDER BY 1)
        ELSE coalesce(r.participants_agents, '{}') END AS agent_ids,
      CASE WHEN h.windows <> '{}' AND d.first_response_ms BETWEEN 0 AND 315360000000 THEN reporting.business_ms(
        r.created_at, r.created_at + d.first_response_ms * interval '1 millisecond', h.windows, z.zone) END AS first_response_business_ms
    FROM tiledesk.requests r
    LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    LEFT JOIN reporting.settings a ON a.connection_id = '*'
    CROSS JOIN LATERAL (SELECT coalesce(s.time_zone, $3) AS zone) z
    CROSS JOIN LATERAL (SELECT coalesce(s.business_windows, a.business_windows) AS windows) h
    CROSS JOIN LATERAL (SELECT r.deleted_at IS NULL AND r.draft IS NOT TRUE AND r.preflight IS NOT TRUE
      AND r.status IS DISTINCT FROM 50 AS is_counted) c
    CROSS JOIN LATERAL (SELECT
      coalesce((date_part('epoch', r.first_response_at - r.created_at) * 1000)::bigint, r.waiting_time_ms) AS first_response_ms,
      coalesce((date_part('epoch', r.closed_at - r.created_at) * 1000)::bigint, r.duration_ms) AS resolution_ms) d
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
  -- Summed by day of opening and by day of closing before the two are put together: no row is multiplied.
  day_sums CONSTANT text := $sql$
    SELECT connection_id, day, channel, department_id, sum(opened), sum(closed), sum(abandoned), sum(rated), sum(satisfied), sum(rating)
    FROM (
      SELECT connection_id, opened_on AS day, coalesce(channel, '') AS channel, coalesce(department_id, '') AS department_id, sum(sign) AS opened,
        0 AS closed, coalesce(sum(sign) FILTER (WHERE status = 150), 0) AS abandoned, coalesce(sum(sign) FILTER (WHERE rating IS NOT NULL), 0) AS rated,
        coalesce(sum(sign) FILTER (WHERE rating >= 4), 0) AS satisfied, coalesce(sum(sign * rating), 0) AS rating
      FROM versions WHERE is_counted AND opened_on IS NOT NULL GROUP BY 1, 2, 3, 4
      UNION ALL
      SELECT connection_id, closed_on, coalesce(channel, ''), coalesce(department_id, ''), 0, sum(sign), 0, 0, 0, 0
      FROM versions WHERE is_counted AND closed_on IS NOT NULL GROUP BY 1, 2, 3, 4
    ) m
    GROUP BY 1, 2, 3, 4
    HAVING ROW(sum(opened), sum(closed), sum(abandoned), sum(rated), sum(satisfied), sum(rating)) <> ROW(0, 0, 0, 0, 0, 0) $sql$;
  agent_sums CONSTANT text := $sql$
    SELECT connection_id, day, agent_id, sum(requests), sum(answered), sum(closed), sum(rated), sum(rating)
    FROM (
      SELECT connection_id, opened_on AS day, a.agent_id, sum(sign) AS requests, coalesce(sum(sign) FILTER (WHERE is_answered), 0) AS answered, 0 AS closed,
        coalesce(sum(sign) FILTER (WHERE rating IS NOT NULL), 0) AS rated, coalesce(sum(sign * rating), 0) AS rating
      FROM versions CROSS JOIN LATERAL unnest(agent_ids) AS a(agent_id) WHERE is_counted AND opened_on IS NOT NULL GROUP BY 1, 2, 3
      UNION ALL
      SELECT connection_id, closed_on, closer_id, 0, 0, sum(sign), 0, 0
      FROM versions WHERE is_counted AND closed_on IS NOT NULL AND closer_id IS NOT NULL GROUP BY 1, 2, 3
    ) m
    GROUP BY 1, 2, 3
    HAVING ROW(sum(requests), sum(answered), sum(closed), sum(rated), sum(rating)) <> ROW(0, 0, 0, 0, 0) $sql$;
BEGIN
  -- Accounts that have other business hours than before are computed anew. Their whole history is not put off: it would be wrong, not old.
  IF only_connection IS NULL THEN
    FOR account IN UPDATE reporting.response_histories h SET business_windows = reporting.hours_of(h.connection_id), computed_at = NULL
      WHERE h.business_windows IS DISTINCT FROM reporting.hours_of(h.connection_id) RETURNING h.connection_id
    LOOP
      IF NOT is_full THEN PERFORM reporting.refresh_requests(NULL, account, false, default_zone); END IF;
    END LOOP;
  END IF;
  IF is_first THEN
    EXECUTE 'INSERT INTO reporting.request_facts ' || incoming USING since, only_connection, default_zone;
  ELSE
    IF is_full THEN
      DELETE FROM reporting.request_facts f
      WHERE NOT EXISTS (SELECT FROM tiledesk.requests r WHERE r.connection_id = f.connection_id AND r.id = f.id);
    END IF;
    EXECUTE format($sql$
      WITH incoming AS MATERIALIZED (
        %s
      ), changed AS MATERIALIZED (
        SELECT n.* FROM incoming n LEFT JOIN reporting.request_facts f ON f.connection_id = n.connection_id AND f.id = n.id
        WHERE f.id IS NULL OR ROW(f.*) IS DISTINCT FROM ROW(n.*)
      ), versions AS MATERIALIZED (
        SELECT 1 AS sign, c.* FROM changed c WHERE NOT $4
        UNION ALL
        SELECT -1, f.* FROM changed c JOIN reporting.request_facts f ON f.connection_id = c.connection_id AND f.id = c.id WHERE NOT $4
      ), noted AS (
        INSERT INTO reporting.touched
        SELECT DISTINCT 'month', connection_id, date_trunc('month', opened_on)::date::text FROM versions WHERE is_counted AND opened_on IS NOT NULL
        UNION ALL
        SELECT DISTINCT 'chat', connection_id, lead_id FROM versions WHERE lead_id IS NOT NULL
      ), days AS (
        INSERT INTO reporting.request_days AS t %s
        ON CONFLICT (connection_id, day, channel, department_id) DO UPDATE SET opened = t.opened + excluded.opened, closed = t.closed + excluded.closed,
          abandoned = t.abandoned + excluded.abandoned, rated = t.rated + excluded.rated, satisfied = t.satisfied + excluded.satisfied,
          rating_sum = t.rating_sum + excluded.rating_sum
      ), agents AS (
        INSERT INTO reporting.agent_days AS t %s
        ON CONFLICT (connection_id, day, agent_id) DO UPDATE SET requests = t.requests + excluded.requests, answered = t.answered + excluded.answered,
          closed = t.closed + excluded.closed, rated = t.rated + excluded.rated, rating_sum = t.rating_sum + excluded.rating_sum
      )
      INSERT INTO reporting.request_facts SELECT * FROM changed
      ON CONFLICT (connection_id, id) DO UPDATE SET status = excluded.status, opened_hour = excluded.opened_hour, is_counted = excluded.is_counted,
        is_open = excluded.is_open, is_answered = excluded.is_answered, opened_on = excluded.opened_on, closed_on = excluded.closed_on,
        opened_at = excluded.opened_at, first_response_at = excluded.first_response_at, closed_at = excluded.closed_at,
        first_response_ms = excluded.first_response_ms, resolution_ms = excluded.resolution_ms, rating = excluded.rating, channel = excluded.channel,
        department_id = excluded.department_id, lead_id = excluded.lead_id, closer_id = excluded.closer_id, agent_ids = excluded.agent_ids,
        first_response_business_ms = excluded.first_response_business_ms
    $sql$, incoming, day_sums, agent_sums) USING since, only_connection, default_zone, is_full;
  END IF;
  PERFORM reporting.make_indexes('reporting.request_facts');
  IF NOT is_full THEN RETURN; END IF;
  ANALYZE reporting.request_facts;
  DELETE FROM reporting.request_days;
  EXECUTE 'INSERT INTO reporting.request_days WITH versions AS NOT MATERIALIZED (SELECT 1 AS sign, f.* FROM reporting.request_facts f)' || day_sums;
  DELETE FROM reporting.agent_days;
  EXECUTE 'INSERT INTO reporting.agent_days WITH versions AS NOT MATERIALIZED (SELECT 1 AS sign, f.* FROM reporting.request_facts f)' || agent_sums;
  DELETE FROM reporting.response_stats;
  INSERT INTO reporting.touched
  SELECT DISTINCT 'month', connection_id, date_trunc('month', day)::date::text FROM reporting.request_days WHERE opened <> 0;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_requests"(timestamptz, text, boolean, text) IS 'Part of the refresh: request_facts, request_days, agent_days';

-- A first computation reads each lead's address and number once.
CREATE OR REPLACE FUNCTION "reporting"."refresh_leads"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  -- OFFSET 0: a key is computed once, however often it is used.
  incoming CONSTANT text := format($sql$
    SELECT k.*,
      -- What a key of a phone number leads to depends on other rows: refresh_people decides.
      CASE WHEN NOT k.is_counted THEN NULL WHEN k.email_key IS NOT NULL THEN 'email:' || k.email_key
        WHEN k.phone_key IS NULL THEN 'lead:' || k.connection_id || ':' || k.id END AS person_key,
      CASE WHEN k.email_key IS NOT NULL THEN 'email' END AS matched_by
    FROM (
      SELECT r.connection_id, r.id, c.is_counted, (r.created_at AT TIME ZONE coalesce(s.time_zone, $3))::date AS created_on, r.created_at,
        CASE WHEN c.is_counted THEN nullif(r.lead_id, '') END AS external_id,
        CASE WHEN c.is_counted THEN reporting.email_of(r.email) END AS email_key,
        CASE WHEN c.is_counted THEN reporting.phone_of(r.phone) END AS phone_key,
        CASE WHEN c.is_counted THEN nullif(r.fullname, '') END AS name,
        CASE WHEN c.is_counted THEN nullif(r.phone, '') END AS phone,
        CASE WHEN c.is_counted THEN nullif(r.company, '') END AS company
      FROM tiledesk.leads r
      LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
      CROSS JOIN LATERAL (SELECT r.deleted_at IS NULL AND r.status IS DISTINCT FROM 50 AND r.status IS DISTINCT FROM 1000 AS is_counted) c
      WHERE %s
      OFFSET 0
    ) k
  $sql$, reporting.scope_of(only_connection, is_full));
BEGIN
  IF is_full AND NOT EXISTS (SELECT FROM reporting.lead_facts) THEN
    EXECUTE format($sql$
      INSERT INTO reporting.lead_facts (connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company,
        person_key, matched_by, requests, open_requests, is_answered, is_closed, is_rated, last_chat_at)
      SELECT n.*, coalesce(s.requests, 0), coalesce(s.open_requests, 0), coalesce(s.is_answered, false), coalesce(s.is_closed, false),
        coalesce(s.is_rated, false), s.last_chat_at
      FROM (%s) n
      LEFT JOIN (
        SELECT connection_id, lead_id, count(*) AS requests, count(*) FILTER (WHERE is_open) AS open_requests, bool_or(is_answered) AS is_answered,
          bool_or(is_answered AND status = 1000) AS is_closed, bool_or(is_answered AND status = 1000 AND rating IS NOT NULL) AS is_rated,
          max(opened_at) AS last_chat_at
        FROM reporting.request_facts WHERE is_counted AND lead_id IS NOT NULL GROUP BY 1, 2
      ) s ON s.connection_id = n.connection_id AND s.lead_id = n.id
    $sql$, incoming) USING since, only_connection, default_zone;
    ANALYZE reporting.lead_facts;
    RETURN;
  END IF;
  IF is_full THEN
    DELETE FROM reporting.lead_facts f WHERE NOT EXISTS (SELECT FROM tiledesk.leads r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      %s
    ), changed AS MATERIALIZED (
      SELECT n.*, f.external_id AS old_external_id, f.phone_key AS old_phone_key, f.person_key AS old_person_key
      FROM incoming n LEFT JOIN reporting.lead_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.is_counted, f.created_on, f.created_at, f.external_id, f.email_key, f.phone_key, f.name, f.phone, f.company)
        IS DISTINCT FROM ROW(n.is_counted, n.created_on, n.created_at, n.external_id, n.email_key, n.phone_key, n.name, n.phone, n.company)
    ), noted AS (
      INSERT INTO reporting.touched SELECT m.* FROM changed c CROSS JOIN LATERAL (VALUES ('chat', c.connection_id, c.id),
        ('external', '', c.id), ('external', '', c.external_id), ('external', '', c.old_external_id), ('phone', '', c.phone_key),
        ('phone', '', c.old_phone_key), ('person', '', c.person_key), ('person', '', c.old_person_key)) AS m(kind, connection_id, value)
      WHERE m.value IS NOT NULL AND NOT $4 AND (m.kind <> 'external' OR EXISTS (SELECT FROM reporting.link_facts))
    )
    INSERT INTO reporting.lead_facts AS t (connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company,
      person_key, matched_by)
    SELECT connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company, person_key, matched_by
    FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET is_counted = excluded.is_counted, created_on = excluded.created_on, created_at = excluded.created_at,
      external_id = excluded.external_id, email_key = excluded.email_key, phone_key = excluded.phone_key, name = excluded.name,
      phone = excluded.phone, company = excluded.company, person_key = excluded.person_key, matched_by = excluded.matched_by
  $sql$, incoming) USING since, only_connection, default_zone, is_full;
  IF is_full THEN ANALYZE reporting.lead_facts; END IF;
  PERFORM reporting.refresh_chats(is_full);
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_leads"(timestamptz, text, boolean, text) IS 'Part of the refresh: lead_facts, but for what follows from other tables';

CREATE OR REPLACE FUNCTION "reporting"."refresh_chats"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  WITH wanted AS (
    SELECT connection_id, id FROM reporting.lead_facts WHERE is_full
    UNION
    SELECT connection_id, value FROM reporting.touched WHERE kind = 'chat' AND NOT is_full
  ), sums AS (
    SELECT w.connection_id, w.id, count(f.id) AS requests, count(*) FILTER (WHERE f.is_open) AS open_requests, coalesce(bool_or(f.is_answered), false) AS is_answered,
      coalesce(bool_or(f.is_answered AND f.status = 1000), false) AS is_closed,
      coalesce(bool_or(f.is_answered AND f.status = 1000 AND f.rating IS NOT NULL), false) AS is_rated, max(f.opened_at) AS last_chat_at
    FROM wanted w LEFT JOIN reporting.request_facts f ON f.connection_id = w.connection_id AND f.lead_id = w.id AND f.is_counted
    GROUP BY 1, 2
  ), written AS (
    UPDATE reporting.lead_facts l SET requests = s.requests, open_requests = s.open_requests, is_answered = s.is_answered, is_closed = s.is_closed,
      is_rated = s.is_rated, last_chat_at = s.last_chat_at
    FROM sums s
    WHERE l.connection_id = s.connection_id AND l.id = s.id
      AND ROW(l.requests, l.open_requests, l.is_answered, l.is_closed, l.is_rated, l.last_chat_at)
        IS DISTINCT FROM ROW(s.requests, s.open_requests, s.is_answered, s.is_closed, s.is_rated, s.last_chat_at)
    RETURNING l.person_key
  )
  INSERT INTO reporting.touched SELECT 'person', '', person_key FROM written WHERE person_key IS NOT NULL AND NOT is_full;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_chats"(boolean) IS 'Part of the refresh: what lead_facts say of the requests';

CREATE OR REPLACE FUNCTION "reporting"."refresh_links"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  is_first CONSTANT boolean := is_full AND NOT EXISTS (SELECT FROM reporting.link_facts) AND NOT EXISTS (SELECT FROM reporting.visit_facts);
  visits CONSTANT text := $sql$
    SELECT r.connection_id, r.id, r.token_id AS link_id, r.deleted_at IS NULL AS is_counted, coalesce(r.access_date, r.created_at) AS visited_at,
      (coalesce(r.access_date, r.created_at) AT TIME ZONE coalesce(s.time_zone, $3))::date AS visited_on, least(r.total_time, 1e15::bigint) AS time_read_ms,
      r.percentage_read AS percent_read, r.signed IS TRUE AS is_signed
    FROM tilkee.connexions r LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
  links CONSTANT text := $sql$
    SELECT r.connection_id, r.id, r.deleted_at IS NULL AS is_counted, r.created_at AS sent_at,
      (r.created_at AT TIME ZONE coalesce(s.time_zone, $3))::date AS sent_on, r.archived_at, c.name, c.external_id, r.project_id, r.creator_id, r.won,
      r.consulted IS TRUE AS is_consulted, r.signed IS TRUE AS is_signed, r.downloaded IS TRUE AS is_downloaded, r.interest,
      r.first_access_at, r.last_sign_in_at AS last_access_at, least(r.total_time, 1e15::bigint) AS total_time_ms, r.nb_connections::bigint AS access_count,
      r.percentage_read AS percent_read, coalesce(reporting.email_of(c.external_id), reporting.email_of(c.name)) AS email_key,
      -- A bare number may be anything: only one that says it is international is taken for a phone number.
      (SELECT reporting.phone_of(t) FROM unnest(ARRAY[c.external_id, c.name]) WITH ORDINALITY AS u(t, place)
        WHERE t ~ '^\s*(\+|00)[0-9 ()./-]+$' AND reporting.phone_of(t) IS NOT NULL ORDER BY place LIMIT 1) AS phone_key
    FROM tilkee.tokens r LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
    CROSS JOIN LATERAL (SELECT CASE WHEN r.deleted_at IS NULL THEN nullif(r.name, '') END AS name,
      CASE WHEN r.deleted_at IS NULL THEN nullif(r.external_id, '') END AS external_id) c
    WHERE $sql$ || reporting.scope_of(only_connection, is_full);
BEGIN
  IF is_first THEN
    EXECUTE 'INSERT INTO reporting.visit_facts ' || visits USING since, only_connection, default_zone;
    EXECUTE format($sql$
      INSERT INTO reporting.link_facts (connection_id, id, is_counted, sent_at, sent_on, archived_at, name, external_id, project_id, creator_id, won,
        is_consulted, is_signed, is_downloaded, interest, first_access_at, last_access_at, total_time_ms, access_count, percent_read, email_key, phone_key,
        visits, visits_time_ms, visits_percent, is_signed_in_visit, first_visit_at, last_visit_at)
      SELECT n.*, coalesce(s.visits, 0), s.visits_time_ms, s.visits_percent, coalesce(s.is_signed_in_visit, false), s.first_visit_at, s.last_visit_at
      FROM (%s) n
      LEFT JOIN (
        SELECT connection_id, link_id, count(*) AS visits, sum(time_read_ms)::bigint AS visits_time_ms, max(percent_read) AS visits_percent,
          bool_or(is_signed) AS is_signed_in_visit, min(visited_at) AS first_visit_at, max(visited_at) AS last_visit_at
        FROM reporting.visit_facts WHERE is_counted AND link_id IS NOT NULL GROUP BY 1, 2
      ) s ON s.connection_id = n.connection_id AND s.link_id = n.id
    $sql$, links) USING since, only_connection, default_zone;
    ANALYZE reporting.link_facts;
    RETURN;
  END IF;
  IF is_full THEN
    DELETE FROM reporting.visit_facts f WHERE NOT EXISTS (SELECT FROM tilkee.connexions r WHERE r.connection_id = f.connection_id AND r.id = f.id);
    DELETE FROM reporting.link_facts f WHERE NOT EXISTS (SELECT FROM tilkee.tokens r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      %s
    ), changed AS MATERIALIZED (
      SELECT n.*, f.link_id AS old_link_id FROM incoming n LEFT JOIN reporting.visit_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.*) IS DISTINCT FROM ROW(n.*)
    ), noted AS (
      INSERT INTO reporting.touched SELECT DISTINCT 'visit', c.connection_id, m.link_id FROM changed c
      CROSS JOIN LATERAL (VALUES (c.link_id), (c.old_link_id)) AS m(link_id) WHERE m.link_id IS NOT NULL AND NOT $4
    )
    INSERT INTO reporting.visit_facts
    SELECT connection_id, id, link_id, is_counted, visited_at, visited_on, time_read_ms, percent_read, is_signed FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET link_id = excluded.link_id, is_counted = excluded.is_counted, visited_at = excluded.visited_at,
      visited_on = excluded.visited_on, time_read_ms = excluded.time_read_ms, percent_read = excluded.percent_read, is_signed = excluded.is_signed
  $sql$, visits) USING since, only_connection, default_zone, is_full;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      %s
    ), changed AS MATERIALIZED (
      SELECT n.*, f.person_key AS old_person_key FROM incoming n
      LEFT JOIN reporting.link_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.connection_id, f.id, f.is_counted, f.sent_at, f.sent_on, f.archived_at, f.name, f.external_id, f.project_id, f.creator_id,
        f.won, f.is_consulted, f.is_signed, f.is_downloaded, f.interest, f.first_access_at, f.last_access_at, f.total_time_ms, f.access_count,
        f.percent_read, f.email_key, f.phone_key) IS DISTINCT FROM ROW(n.*)
    ), noted AS (
      INSERT INTO reporting.touched SELECT m.* FROM changed c CROSS JOIN LATERAL (VALUES ('link', c.connection_id, c.id), ('visit', c.connection_id, c.id),
        ('person', '', c.old_person_key)) AS m(kind, connection_id, value) WHERE m.value IS NOT NULL AND NOT $4
    )
    INSERT INTO reporting.link_facts (connection_id, id, is_counted, sent_at, sent_on, archived_at, name, external_id, project_id, creator_id, won,
      is_consulted, is_signed, is_downloaded, interest, first_access_at, last_access_at, total_time_ms, access_count, percent_read, email_key, phone_key)
    SELECT connection_id, id, is_counted, sent_at, sent_on, archived_at, name, external_id, project_id, creator_id, won,
      is_consulted, is_signed, is_downloaded, interest, first_access_at, last_access_at, total_time_ms, access_count, percent_read, email_key, phone_key
    FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET is_counted = excluded.is_counted, sent_at = excluded.sent_at, sent_on = excluded.sent_on,
      archived_at = excluded.archived_at, name = excluded.name, external_id = excluded.external_id, project_id = excluded.project_id,
      creator_id = excluded.creator_id, won = excluded.won, is_consulted = excluded.is_consulted, is_signed = excluded.is_signed,
      is_downloaded = excluded.is_downloaded, interest = excluded.interest, first_access_at = excluded.first_access_at,
      last_access_at = excluded.last_access_at, total_time_ms = excluded.total_time_ms, access_count = excluded.access_count,
      percent_read = excluded.percent_read, email_key = excluded.email_key, phone_key = excluded.phone_key
  $sql$, links) USING since, only_connection, default_zone, is_full;
  WITH wanted AS (
    SELECT connection_id, id FROM reporting.link_facts WHERE is_full
    UNION
    SELECT connection_id, value FROM reporting.touched WHERE kind = 'visit' AND NOT is_full
  ), sums AS (
    SELECT w.connection_id, w.id, count(v.id) AS visits, sum(v.time_read_ms)::bigint AS visits_time_ms, max(v.percent_read) AS visits_percent,
      coalesce(bool_or(v.is_signed), false) AS is_signed_in_visit, min(v.visited_at) AS first_visit_at, max(v.visited_at) AS last_visit_at
    FROM wanted w LEFT JOIN reporting.visit_facts v ON v.connection_id = w.connection_id AND v.link_id = w.id AND v.is_counted
    GROUP BY 1, 2
  ), written AS (
    UPDATE reporting.link_facts l SET visits = s.visits, visits_time_ms = s.visits_time_ms, visits_percent = s.visits_percent,
      is_signed_in_visit = s.is_signed_in_visit, first_visit_at = s.first_visit_at, last_visit_at = s.last_visit_at
    FROM sums s
    WHERE l.connection_id = s.connection_id AND l.id = s.id
      AND ROW(l.visits, l.visits_time_ms, l.visits_percent, l.is_signed_in_visit, l.first_visit_at, l.last_visit_at)
        IS DISTINCT FROM ROW(s.visits, s.visits_time_ms, s.visits_percent, s.is_signed_in_visit, s.first_visit_at, s.last_visit_at)
    RETURNING l.person_key
  )
  INSERT INTO reporting.touched SELECT 'person', '', person_key FROM written WHERE person_key IS NOT NULL AND NOT is_full;
  IF is_full THEN ANALYZE reporting.link_facts; END IF;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_links"(timestamptz, text, boolean, text) IS 'Part of the refresh: visit_facts and link_facts';

CREATE OR REPLACE FUNCTION "reporting"."refresh_people"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Leads with a phone number and no address: their key depends on the others with that number.
  WITH wanted AS MATERIALIZED (
    SELECT l.connection_id, l.id, l.external_id, l.phone_key, l.person_key FROM reporting.lead_facts l
    WHERE is_full AND l.email_key IS NULL AND l.phone_key IS NOT NULL
    UNION ALL
    SELECT l.connection_id, l.id, l.external_id, l.phone_key, l.person_key
    FROM (SELECT DISTINCT value FROM reporting.touched WHERE kind = 'phone') t JOIN reporting.lead_facts l ON l.phone_key = t.value
    WHERE NOT is_full AND l.email_key IS NULL
  ), addresses AS MATERIALIZED (
    SELECT e.phone_key, CASE WHEN min(e.email_key) = max(e.email_key) THEN min(e.email_key) END AS email_key
    FROM (SELECT DISTINCT phone_key FROM wanted) w
    JOIN reporting.lead_facts e ON e.phone_key = w.phone_key AND e.is_counted AND e.email_key IS NOT NULL
    GROUP BY 1
  ), decided AS (
    SELECT w.*, coalesce('email:' || a.email_key, 'phone:' || w.phone_key) AS new_key FROM wanted w LEFT JOIN addresses a ON a.phone_key = w.phone_key
  ), noted AS (
    INSERT INTO reporting.touched SELECT n.kind, '', n.value FROM decided d CROSS JOIN LATERAL (VALUES ('person', d.new_key), ('person', d.person_key),
      ('external', CASE WHEN d.new_key IS DISTINCT FROM d.person_key THEN d.id END),
      ('external', CASE WHEN d.new_key IS DISTINCT FROM d.person_key THEN d.external_id END)) AS n(kind, value)
    WHERE n.value IS NOT NULL AND NOT is_full
  )
  UPDATE reporting.lead_facts l SET person_key = d.new_key, matched_by = 'phone' FROM decided d
  WHERE l.connection_id = d.connection_id AND l.id = d.id AND ROW(l.person_key, l.matched_by) IS DISTINCT FROM ROW(d.new_key, 'phone');

  WITH wanted AS MATERIALIZED (
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k WHERE is_full
    UNION ALL (
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'link' AND k.connection_id = t.connection_id AND k.id = t.value WHERE NOT is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'external' AND k.external_id = t.value WHERE NOT is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'phone' AND k.phone_key = t.value WHERE NOT is_full)
  ), named AS MATERIALIZED (
    SELECT DISTINCT ON (external_id) external_id, person_key FROM (
      SELECT w.external_id, l.person_key, l.created_at, l.connection_id, l.id FROM (SELECT DISTINCT external_id FROM wanted) w
      JOIN reporting.lead_facts l ON l.id = w.external_id WHERE l.is_counted
      UNION ALL
      SELECT w.external_id, l.person_key, l.created_at, l.connection_id, l.id FROM (SELECT DISTINCT external_id FROM wanted) w
      JOIN reporting.lead_facts l ON l.external_id = w.external_id WHERE l.is_counted
    ) n ORDER BY external_id, created_at DESC NULLS LAST, id DESC, connection_id
  ), addresses AS MATERIALIZED (
    SELECT e.phone_key, CASE WHEN min(e.email_key) = max(e.email_key) THEN min(e.email_key) END AS email_key
    FROM (SELECT DISTINCT phone_key FROM wanted WHERE phone_key IS NOT NULL) w
    JOIN reporting.lead_facts e ON e.phone_key = w.phone_key AND e.is_counted AND e.email_key IS NOT NULL
    GROUP BY 1
  ), decided AS (
    SELECT w.connection_id, w.id, w.person_key,
      CASE WHEN NOT w.is_counted THEN NULL
        ELSE coalesce(n.person_key, 'email:' || w.email_key, 'email:' || a.email_key, 'phone:' || w.phone_key,
          'link:' || w.connection_id || ':' || w.id) END AS new_key,
      CASE WHEN NOT w.is_counted THEN NULL WHEN n.person_key IS NOT NULL THEN 'external_id' WHEN w.email_key IS NOT NULL THEN 'email'
        WHEN w.phone_key IS NOT NULL THEN 'phone' END AS new_rule
    FROM wanted w LEFT JOIN named n ON n.external_id = w.external_id LEFT JOIN addresses a ON a.phone_key = w.phone_key
  ), noted AS (
    INSERT INTO reporting.touched SELECT 'person', '', m.value FROM decided d CROSS JOIN LATERAL (VALUES (d.new_key), (d.person_key)) AS m(value)
    WHERE m.value IS NOT NULL AND NOT is_full
    UNION ALL
    SELECT 'person', '', k.person_key FROM reporting.touched t JOIN reporting.link_facts k ON k.connection_id = t.connection_id AND k.project_id = t.value
    WHERE t.kind = 'project' AND k.person_key IS NOT NULL AND NOT is_full
  )
  UPDATE reporting.link_facts k SET person_key = d.new_key, matched_by = d.new_rule FROM decided d
  WHERE k.connection_id = d.connection_id AND k.id = d.id AND ROW(k.person_key, k.matched_by) IS DISTINCT FROM ROW(d.new_key, d.new_rule);

  EXECUTE format($sql$
  WITH keys AS MATERIALIZED (
    %1$s
  ), l AS MATERIALIZED (
    SELECT f.person_key, count(*) AS leads,
      coalesce(array_agg(f.id) FILTER (WHERE f.created_at IS NOT NULL), '{}') || array_agg(f.id) FILTER (WHERE f.created_at IS NULL) AS lead_ids,
      array_agg(f.name) FILTER (WHERE f.name IS NOT NULL) AS names, array_agg(f.email_key) FILTER (WHERE f.email_key IS NOT NULL) AS emails,
      array_agg(f.phone) FILTER (WHERE f.phone_key IS NOT NULL) AS phones, array_agg(f.company) FILTER (WHERE f.company IS NOT NULL) AS companies,
      min(f.created_at) AS first_seen_at, sum(f.requests)::bigint AS requests, sum(f.open_requests)::bigint AS open_requests,
      max(f.last_chat_at) AS last_chat_at, count(*) FILTER (WHERE f.matched_by = 'email') AS by_email,
      count(*) FILTER (WHERE f.matched_by = 'phone') AS by_phone
    -- Sorted once, oldest first: an ORDER BY in each aggregate would sort for each of them and each person.
    FROM (SELECT f.* FROM %2$s WHERE f.is_counted ORDER BY f.person_key, f.created_at NULLS FIRST, f.id) f GROUP BY 1
  ), t AS MATERIALIZED (
    SELECT f.person_key, count(*) AS links,
      coalesce(array_agg(f.id) FILTER (WHERE f.sent_at IS NOT NULL), '{}') || array_agg(f.id) FILTER (WHERE f.sent_at IS NULL) AS link_ids,
      array_agg(f.name) FILTER (WHERE f.name IS NOT NULL) AS names, array_agg(f.email_key) FILTER (WHERE f.email_key IS NOT NULL) AS emails,
      array_agg(f.phone_key) FILTER (WHERE f.phone_key IS NOT NULL) AS phones,
      min(f.sent_at) AS first_seen_at, sum(greatest(f.access_count, f.visits, 0))::bigint AS visits,
      max(greatest(f.last_access_at, f.last_visit_at)) AS last_visit_at, sum(greatest(f.total_time_ms, f.visits_time_ms, 0))::bigint AS time_read_ms,
      max(greatest(f.percent_read, f.visits_percent)) AS percent_read, max(f.interest) AS interest,
      bool_or(f.is_signed OR f.is_signed_in_visit) AS is_signed,
      bool_or(CASE WHEN f.won IN ('won', 'lost') THEN f.won ELSE f.verdict END = 'won') AS is_won,
      bool_or(CASE WHEN f.won IN ('won', 'lost') THEN f.won ELSE f.verdict END = 'lost') AS is_lost,
      array_agg(DISTINCT f.matched_by) FILTER (WHERE f.matched_by IS NOT NULL) AS rules
    FROM (SELECT f.*, p.verdict FROM %3$s
      LEFT JOIN reporting.names p ON p.kind = 'project' AND p.connection_id = f.connection_id AND p.id = f.project_id
      WHERE f.is_counted ORDER BY f.person_key, f.sent_at NULLS FIRST, f.id) f
    GROUP BY 1
  ), known AS MATERIALIZED (
    SELECT coalesce(l.person_key, t.person_key) AS person_key, coalesce(l.names[cardinality(l.names)], t.names[cardinality(t.names)]) AS name,
      coalesce(l.emails[cardinality(l.emails)], t.emails[cardinality(t.emails)]) AS email,
      coalesce(l.phones[cardinality(l.phones)], '+' || t.phones[cardinality(t.phones)]) AS phone, l.companies[cardinality(l.companies)] AS company,
      CASE WHEN coalesce(l.leads, 0) + coalesce(t.links, 0) > 1 THEN nullif(ARRAY(
        SELECT unnest(t.rules) UNION SELECT 'email' WHERE l.by_email > 1 UNION SELECT 'phone' WHERE l.leads > 1 AND l.by_phone > 0 ORDER BY 1), '{}')
      END AS matched_by,
      coalesce(l.leads, 0) AS leads, coalesce(t.links, 0) AS links, coalesce(l.lead_ids, '{}') AS lead_ids, coalesce(t.link_ids, '{}') AS link_ids,
      least(l.first_seen_at, t.first_seen_at) AS first_seen_at, coalesce(l.requests, 0) AS requests, coalesce(l.open_requests, 0) AS open_requests,
      l.last_chat_at, coalesce(t.visits, 0) AS visits, t.last_visit_at, coalesce(t.time_read_ms, 0) AS time_read_ms, t.percent_read, t.interest,
      CASE WHEN t.is_signed THEN 'signed' WHEN t.is_won THEN 'won' WHEN t.is_lost THEN 'lost' END AS outcome
    FROM l FULL JOIN t ON t.person_key = l.person_key
    -- Who is one lead and no more is read from lead_facts.
    WHERE l.leads > 1 OR t.links > 0
  ), gone AS (
    DELETE FROM reporting.people p %4$s NOT EXISTS (SELECT FROM known n WHERE n.person_key = p.person_key)
  ), changed AS (
    UPDATE reporting.people p SET
      name = n.name, email = n.email, phone = n.phone, company = n.company, matched_by = n.matched_by, leads = n.leads, links = n.links,
      lead_ids = n.lead_ids, link_ids = n.link_ids, first_seen_at = n.first_seen_at, requests = n.requests, open_requests = n.open_requests,
      last_chat_at = n.last_chat_at, visits = n.visits, last_visit_at = n.last_visit_at, time_read_ms = n.time_read_ms, percent_read = n.percent_read,
      interest = n.interest, outcome = n.outcome
    FROM known n WHERE md5(p.person_key) = md5(n.person_key) AND to_jsonb(p) - 'row_id' IS DISTINCT FROM to_jsonb(n)
  )
  -- No other refresh runs now: who is not there yet does not come meanwhile.
  INSERT INTO reporting.people SELECT n.* FROM known n WHERE NOT EXISTS (SELECT FROM reporting.people p WHERE md5(p.person_key) = md5(n.person_key))
  $sql$,
  CASE WHEN is_full THEN
      'SELECT person_key FROM reporting.lead_facts WHERE is_counted AND matched_by IS NOT NULL GROUP BY 1 HAVING count(*) > 1
      UNION SELECT person_key FROM reporting.link_facts WHERE is_counted'
    ELSE $sql$SELECT DISTINCT value AS person_key, md5(value) AS digest, substring(value FROM '^email:(.*)') AS email_key
      FROM reporting.touched WHERE kind = 'person'$sql$ END,
  CASE WHEN is_full THEN '(SELECT * FROM reporting.lead_facts WHERE person_key IN (SELECT person_key FROM keys)) f'
    ELSE '(SELECT f.* FROM keys k JOIN reporting.lead_facts f ON f.email_key = k.email_key UNION ALL
      SELECT f.* FROM keys k JOIN reporting.lead_facts f ON f.person_key = k.person_key AND f.email_key IS NULL) f' END,
  CASE WHEN is_full THEN 'reporting.link_facts f' ELSE 'keys k JOIN reporting.link_facts f ON f.person_key = k.person_key' END,
  CASE WHEN is_full THEN 'WHERE' ELSE 'USING keys k WHERE md5(p.person_key) = k.digest AND' END);
  IF is_full THEN ANALYZE reporting.people; END IF;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_people"(boolean) IS 'Part of the refresh: who is the same person, and reporting.people';

-- One reading of the requests for each agent, another one for the rest.
CREATE OR REPLACE FUNCTION "reporting"."add_response_stats"(account text, in_month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  stats CONSTANT text := $sql$count(*), count(first_response_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY first_response_ms),
    count(resolution_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolution_ms), $sql$
    -- Without business hours there is nothing to sort.
    || CASE WHEN reporting.hours_of(account) <> '{}'
      THEN 'percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY first_response_business_ms)' ELSE 'NULL::float8[]' END;
  target CONSTANT text := 'reporting.response_stats (connection_id, month, dimension, key, requests, answered, first_response_ms, resolved, resolution_ms,
    first_response_business_ms)';
  wanted CONSTANT text := 'f.connection_id = $1 AND f.is_counted AND f.opened_on >= $3 AND f.opened_on < $4';
  since CONSTANT date := coalesce(in_month, '-infinity');
  until CONSTANT date := coalesce((in_month + interval '1 month')::date, 'infinity');
BEGIN
  EXECUTE format($sql$
    INSERT INTO %s
    SELECT $1, $2, CASE WHEN grouping(department) = 0 THEN 'department' WHEN grouping(weekday) = 0 THEN 'weekday' WHEN grouping(hour) = 0 THEN 'hour'
        ELSE 'all' END,
      coalesce(department, weekday::text, lpad(hour::text, 2, '0'), ''), %s
    FROM (
      SELECT coalesce(f.department_id, '') COLLATE "C" AS department, extract(isodow FROM f.opened_on)::int AS weekday, f.opened_hour AS hour,
        f.first_response_ms, f.resolution_ms, f.first_response_business_ms
      FROM reporting.request_facts f WHERE %s
    ) q
    GROUP BY GROUPING SETS ((), (department), (weekday), (hour)) HAVING count(*) > 0
  $sql$, target, stats, wanted) USING account, in_month, since, until;
  EXECUTE format($sql$
    INSERT INTO %s
    SELECT $1, $2, 'agent', agent_id, %s
    FROM (
      SELECT a.agent_id COLLATE "C" AS agent_id, f.first_response_ms, f.resolution_ms, f.first_response_business_ms
      FROM reporting.request_facts f CROSS JOIN LATERAL unnest(f.agent_ids) AS a(agent_id) WHERE %s
    ) q
    GROUP BY agent_id
  $sql$, target, stats, wanted) USING account, in_month, since, until;
END
$$;
COMMENT ON FUNCTION "reporting"."add_response_stats"(text, date) IS 'Part of the refresh: response_stats of one month, or of the whole history';

CREATE OR REPLACE FUNCTION "reporting"."refresh_responses"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  cell record;
  began timestamptz;
BEGIN
  FOR cell IN SELECT DISTINCT connection_id, value::date AS month FROM reporting.touched WHERE kind = 'month' LOOP
    DELETE FROM reporting.response_stats WHERE connection_id = cell.connection_id AND month = cell.month;
    PERFORM reporting.add_response_stats(cell.connection_id, cell.month);
  END LOOP;
  INSERT INTO reporting.response_histories (connection_id, is_outdated, business_windows)
  SELECT connection_id, true, reporting.hours_of(connection_id) FROM reporting.touched WHERE kind = 'month' GROUP BY 1
  ON CONFLICT (connection_id) DO UPDATE SET is_outdated = true;
  FOR cell IN
    SELECT connection_id FROM reporting.response_histories
    WHERE is_outdated AND (is_full OR computed_at IS NULL OR clock_timestamp() - computed_at > took_ms * interval '50 milliseconds')
  LOOP
    began := clock_timestamp();
    DELETE FROM reporting.response_stats WHERE connection_id = cell.connection_id AND month IS NULL;
    PERFORM reporting.add_response_stats(cell.connection_id, NULL);
    UPDATE reporting.response_histories SET is_outdated = false, computed_at = clock_timestamp(),
      took_ms = extract(epoch FROM clock_timestamp() - began) * 1000,
      as_of = (SELECT s.as_of FROM reporting.sources s WHERE s.connection_id = cell.connection_id AND s.stream = 'tiledesk.requests')
    WHERE connection_id = cell.connection_id;
  END LOOP;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_responses"(boolean) IS 'Part of the refresh: response_stats, of the months that changed and, when it is their turn, of the whole history';

CREATE OR REPLACE FUNCTION "reporting"."refresh"(min_gap_seconds double precision DEFAULT 0, is_full boolean DEFAULT false) RETURNS text LANGUAGE plpgsql
SET work_mem = '64MB' SET maintenance_work_mem = '128MB' SET jit = off AS $$
DECLARE
  last record;
  began timestamptz;
  horizon timestamptz;
  default_zone text;
  account text;
BEGIN
  -- Every statement below needs a snapshot later than the horizon, or rows that were committed in between would be read by no refresh.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'reporting.refresh works in read committed transactions only';
  END IF;
  IF NOT pg_try_advisory_xact_lock(7233071930) THEN RETURN 'busy'; END IF;
  SELECT * INTO STRICT last FROM reporting.refreshes;
  IF last.refreshed_at > clock_timestamp() - min_gap_seconds * interval '1 second' THEN RETURN 'early'; END IF;
  PERFORM pg_stat_clear_snapshot();
  began := clock_timestamp();
  horizon := reporting.write_horizon();
  SELECT coalesce(max(time_zone), 'UTC') INTO default_zone FROM reporting.settings WHERE connection_id = '*';
  is_full := is_full OR last.read_from = '-infinity'
    OR default_zone IS DISTINCT FROM (SELECT time_zone FROM reporting.applied_zones WHERE connection_id = '*')
    OR reporting.is_mostly_new('tiledesk.requests', 'reporting.request_facts', last.refreshed_at)
    OR reporting.is_mostly_new('tiledesk.leads', 'reporting.lead_facts', last.refreshed_at)
    OR reporting.is_mostly_new('tilkee.tokens', 'reporting.link_facts', last.refreshed_at)
    OR reporting.is_mostly_new('tilkee.connexions', 'reporting.visit_facts', last.refreshed_at);
  DELETE FROM reporting.touched;
  -- A first computation makes the keys when the rows are there; every other one needs them before.
  PERFORM reporting.make_indexes(facts) FROM unnest(CASE
    WHEN NOT is_full THEN '{reporting.request_facts,reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[]
    WHEN EXISTS (SELECT FROM reporting.visit_facts) OR EXISTS (SELECT FROM reporting.link_facts) THEN '{reporting.visit_facts,reporting.link_facts}'
  END) AS facts;

  -- As sync.status has it; read before the rows, so that it never claims what they do not have.
  INSERT INTO reporting.sources AS t
  SELECT s.connection_id, s.stream, CASE WHEN b.completed_at IS NOT NULL THEN greatest(i.completed_at, CASE WHEN b.completed_at >= b.started_at THEN b.started_at END,
    CASE WHEN r.completed_at >= r.started_at THEN r.started_at END) END, s.enabled
  FROM sync.streams s
  LEFT JOIN sync.checkpoints b ON b.connection_id = s.connection_id AND b.stream = s.stream AND b.pass = 'backfill'
  LEFT JOIN sync.checkpoints i ON i.connection_id = s.connection_id AND i.stream = s.stream AND i.pass = 'incremental'
  LEFT JOIN sync.checkpoints r ON r.connection_id = s.connection_id AND r.stream = s.stream AND r.pass = 'reconcile'
  ON CONFLICT (connection_id, stream) DO UPDATE SET as_of = excluded.as_of, is_enabled = excluded.is_enabled
  WHERE ROW(t.as_of, t.is_enabled) IS DISTINCT FROM ROW(excluded.as_of, excluded.is_enabled);

  -- Accounts that are in another time zone than before are computed anew.
  FOR account IN
    SELECT connection_id FROM reporting.settings s FULL JOIN reporting.applied_zones a USING (connection_id)
    WHERE NOT is_full AND coalesce(s.time_zone, default_zone) IS DISTINCT FROM coalesce(a.time_zone, default_zone)
  LOOP
    PERFORM reporting.refresh_requests(NULL, account, false, default_zone);
    PERFORM reporting.refresh_leads(NULL, account, false, default_zone);
    PERFORM reporting.refresh_links(NULL, account, false, default_zone);
    PERFORM reporting.refresh_backlog(NULL, account, false, default_zone);
  END LOOP;
  DELETE FROM reporting.applied_zones a WHERE NOT EXISTS (SELECT FROM reporting.settings s WHERE s.connection_id = a.connection_id);
  INSERT INTO reporting.applied_zones SELECT connection_id, time_zone FROM reporting.settings WHERE connection_id <> '*'
  UNION ALL SELECT '*', default_zone
  ON CONFLICT (connection_id) DO UPDATE SET time_zone = excluded.time_zone;

  PERFORM reporting.refresh_names(CASE WHEN is_full THEN '-infinity' ELSE last.read_from END);
  PERFORM reporting.refresh_requests(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_leads(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_links(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_backlog(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_people(is_full);
  PERFORM reporting.make_indexes(facts) FROM unnest('{reporting.lead_facts,reporting.visit_facts,reporting.link_facts,reporting.people}'::regclass[]) AS facts;
  PERFORM reporting.refresh_responses(is_full);

  -- What a full one notes is as large as the mirror: nothing of it is left lying about.
  IF is_full THEN TRUNCATE reporting.touched; ELSE DELETE FROM reporting.touched; END IF;
  UPDATE reporting.refreshes SET read_from = horizon, refreshed_at = began, rebuilt_at = CASE WHEN is_full THEN began ELSE rebuilt_at END,
    took_ms = extract(epoch FROM clock_timestamp() - began) * 1000;
  RETURN CASE WHEN is_full THEN 'rebuilt' ELSE 'refreshed' END;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh"(double precision, boolean) IS 'Brings the precomputed tables up to the mirror, in one transaction: rows written since the last time, or all of them. Answers refreshed, rebuilt, busy (another one is at it) or early (the last one began less than min_gap_seconds ago)';

-- Views --------------------------------------------------------------------------------------------------------------------------------------
CREATE OR REPLACE VIEW "reporting"."requests_daily" AS
SELECT d.connection_id, d.day, nullif(d.channel, '') AS channel, nullif(d.department_id, '') AS department_id, n.name AS department,
  d.opened, d.closed, d.abandoned, s.as_of
FROM "reporting"."request_days" d
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = d.connection_id AND n.id = d.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = d.connection_id AND s.stream = 'tiledesk.requests'
WHERE d.opened <> 0 OR d.closed <> 0;
COMMENT ON VIEW "reporting"."requests_daily" IS 'Requests opened, closed and abandoned by day of the account''s time zone, channel and department. Deleted requests, drafts, preflight and temporary ones are left out; a reopened request counts as opened on its day and as closed on none until it is closed again. Reads request_days';
COMMENT ON COLUMN "reporting"."requests_daily"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."requests_daily"."day" IS 'Day in the time zone of the account: reporting.settings';
COMMENT ON COLUMN "reporting"."requests_daily"."channel" IS 'Channel name; null: none';
COMMENT ON COLUMN "reporting"."requests_daily"."department_id" IS 'tiledesk.departments.id; null: none';
COMMENT ON COLUMN "reporting"."requests_daily"."department" IS 'Its name';
COMMENT ON COLUMN "reporting"."requests_daily"."opened" IS 'Requests opened that day';
COMMENT ON COLUMN "reporting"."requests_daily"."closed" IS 'Requests closed that day, and closed now';
COMMENT ON COLUMN "reporting"."requests_daily"."abandoned" IS 'Of the opened: abandoned (150) now. Upstream does not report when that happened';
COMMENT ON COLUMN "reporting"."requests_daily"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';

CREATE OR REPLACE VIEW "reporting"."csat" AS
SELECT d.connection_id, d.day, nullif(d.channel, '') AS channel, nullif(d.department_id, '') AS department_id, n.name AS department,
  d.opened, d.rated, d.satisfied, d.rating_sum, d.rating_sum / d.rated AS average_rating, 100.0 * d.satisfied / d.rated AS satisfied_percent, s.as_of
FROM "reporting"."request_days" d
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = d.connection_id AND n.id = d.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = d.connection_id AND s.stream = 'tiledesk.requests'
WHERE d.rated <> 0;
COMMENT ON VIEW "reporting"."csat" IS 'Ratings by the day on which the request was opened, channel and department; days without a rating are left out. Which requests count: see requests_daily. Reads request_days';
COMMENT ON COLUMN "reporting"."csat"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."csat"."day" IS 'Day in the time zone of the account on which the request was opened; upstream does not report when it was rated';
COMMENT ON COLUMN "reporting"."csat"."channel" IS 'Channel name; null: none';
COMMENT ON COLUMN "reporting"."csat"."department_id" IS 'tiledesk.departments.id; null: none';
COMMENT ON COLUMN "reporting"."csat"."department" IS 'Its name';
COMMENT ON COLUMN "reporting"."csat"."opened" IS 'Requests opened that day';
COMMENT ON COLUMN "reporting"."csat"."rated" IS 'Of these: rated';
COMMENT ON COLUMN "reporting"."csat"."satisfied" IS 'Of the rated: 4 or more';
COMMENT ON COLUMN "reporting"."csat"."rating_sum" IS 'Sum of the ratings: averages over several rows are sum(rating_sum) / sum(rated)';
COMMENT ON COLUMN "reporting"."csat"."average_rating" IS 'rating_sum / rated';
COMMENT ON COLUMN "reporting"."csat"."satisfied_percent" IS 'Share of satisfied in rated, 0 to 100';
COMMENT ON COLUMN "reporting"."csat"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';

CREATE OR REPLACE VIEW "reporting"."response_times" AS
SELECT r.connection_id, r.month, r.dimension, r.key,
  CASE r.dimension WHEN 'weekday' THEN (ARRAY['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[r.key::int]
    WHEN 'hour' THEN r.key || ':00' ELSE n.name END AS label,
  r.requests, r.answered, r.first_response_ms[1] / 1000 AS first_response_median_seconds, r.first_response_ms[2] / 1000 AS first_response_p90_seconds,
  r.resolved, r.resolution_ms[1] / 1000 AS resolution_median_seconds, r.resolution_ms[2] / 1000 AS resolution_p90_seconds,
  CASE WHEN r.month IS NULL AND h.is_outdated THEN h.as_of ELSE s.as_of END AS as_of,
  r.first_response_business_ms[1] / 1000 AS first_response_business_median_seconds,
  r.first_response_business_ms[2] / 1000 AS first_response_business_p90_seconds
FROM "reporting"."response_stats" r
LEFT JOIN "reporting"."names" n ON n.kind = r.dimension AND n.connection_id = r.connection_id AND n.id = r.key
LEFT JOIN "reporting"."response_histories" h ON h.connection_id = r.connection_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = r.connection_id AND s.stream = 'tiledesk.requests';
COMMENT ON VIEW "reporting"."response_times" IS 'Median and 90th percentile of first response and resolution, by month of opening and over the whole history, along one dimension at a time. Which requests count: see requests_daily; a reopened request has no resolution. Reads response_stats: months with every refresh, the whole history no more than a fiftieth of the time, see as_of';
COMMENT ON COLUMN "reporting"."response_times"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."response_times"."month" IS 'First day of the month in which the requests were opened, in the time zone of the account; null: the whole history';
COMMENT ON COLUMN "reporting"."response_times"."dimension" IS 'all, department, agent, weekday or hour. A request with several agents counts for each';
COMMENT ON COLUMN "reporting"."response_times"."key" IS 'Id of the department or agent (user id), weekday of opening 1 (Monday) to 7, hour of opening 00 to 23; empty: none';
COMMENT ON COLUMN "reporting"."response_times"."label" IS 'The same, human-readable';
COMMENT ON COLUMN "reporting"."response_times"."requests" IS 'Requests opened';
COMMENT ON COLUMN "reporting"."response_times"."answered" IS 'Of these: with a first response time';
COMMENT ON COLUMN "reporting"."response_times"."first_response_median_seconds" IS 'Median from opening to the first answer by an agent, seconds';
COMMENT ON COLUMN "reporting"."response_times"."first_response_p90_seconds" IS '90th percentile of the same';
COMMENT ON COLUMN "reporting"."response_times"."resolved" IS 'Of the requests: closed, with a resolution time';
COMMENT ON COLUMN "reporting"."response_times"."resolution_median_seconds" IS 'Median from opening to the last closing, seconds';
COMMENT ON COLUMN "reporting"."response_times"."resolution_p90_seconds" IS '90th percentile of the same';
COMMENT ON COLUMN "reporting"."response_times"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';
COMMENT ON COLUMN "reporting"."response_times"."first_response_business_median_seconds" IS 'Median of the part within the business hours of the account; null: none are set';
COMMENT ON COLUMN "reporting"."response_times"."first_response_business_p90_seconds" IS '90th percentile of the same';

CREATE OR REPLACE VIEW "reporting"."agent_activity" AS
SELECT d.connection_id, d.day, d.agent_id, n.name AS agent, d.requests, d.answered, d.closed, d.rated, d.rating_sum,
  CASE WHEN d.rated <> 0 THEN d.rating_sum / d.rated END AS average_rating, s.as_of
FROM "reporting"."agent_days" d
LEFT JOIN "reporting"."names" n ON n.kind = 'agent' AND n.connection_id = d.connection_id AND n.id = d.agent_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = d.connection_id AND s.stream = 'tiledesk.requests'
WHERE d.requests <> 0 OR d.closed <> 0;
COMMENT ON VIEW "reporting"."agent_activity" IS 'What people did, by day of the account''s time zone. Bots are left out. Which requests count: see requests_daily. Reads agent_days';
COMMENT ON COLUMN "reporting"."agent_activity"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."agent_activity"."day" IS 'Day in the time zone of the account';
COMMENT ON COLUMN "reporting"."agent_activity"."agent_id" IS 'User id';
COMMENT ON COLUMN "reporting"."agent_activity"."agent" IS 'First and last name, else the e-mail address; null: not a member that the mirror knows';
COMMENT ON COLUMN "reporting"."agent_activity"."requests" IS 'Requests opened that day in which the agent takes part; one with several agents counts for each';
COMMENT ON COLUMN "reporting"."agent_activity"."answered" IS 'Of these: answered, by whomever';
COMMENT ON COLUMN "reporting"."agent_activity"."closed" IS 'Requests that the agent closed that day, and that are closed now';
COMMENT ON COLUMN "reporting"."agent_activity"."rated" IS 'Of the requests opened that day: rated';
COMMENT ON COLUMN "reporting"."agent_activity"."rating_sum" IS 'Sum of these ratings';
COMMENT ON COLUMN "reporting"."agent_activity"."average_rating" IS 'rating_sum / rated; null: none rated';
COMMENT ON COLUMN "reporting"."agent_activity"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';

CREATE OR REPLACE VIEW "reporting"."lead_funnel" AS
SELECT f.*, s.as_of FROM (
  SELECT connection_id, created_on AS day, count(*) AS leads, count(*) FILTER (WHERE requests > 0) AS with_request,
    count(*) FILTER (WHERE is_answered) AS answered, count(*) FILTER (WHERE is_closed) AS closed, count(*) FILTER (WHERE is_rated) AS rated
  FROM "reporting"."lead_facts" WHERE is_counted GROUP BY 1, 2
) f
LEFT JOIN (
  SELECT connection_id, CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of
  FROM "reporting"."sources" WHERE stream IN ('tiledesk.leads', 'tiledesk.requests') GROUP BY 1
) s ON s.connection_id = f.connection_id;
COMMENT ON VIEW "reporting"."lead_funnel" IS 'How far the leads of each day came: each stage holds those of the one before that went on. Deleted and temporary (50) leads are left out; which requests count: see requests_daily. Reads lead_facts';
COMMENT ON COLUMN "reporting"."lead_funnel"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."lead_funnel"."day" IS 'Day in the time zone of the account on which the lead was created; null: upstream has no date';
COMMENT ON COLUMN "reporting"."lead_funnel"."leads" IS 'Leads created';
COMMENT ON COLUMN "reporting"."lead_funnel"."with_request" IS 'Of these: wrote at least once';
COMMENT ON COLUMN "reporting"."lead_funnel"."answered" IS 'Of these: with a request that was answered';
COMMENT ON COLUMN "reporting"."lead_funnel"."closed" IS 'Of these: with a request that was answered and is closed';
COMMENT ON COLUMN "reporting"."lead_funnel"."rated" IS 'Of these: with a request that was answered, is closed and rated';
COMMENT ON COLUMN "reporting"."lead_funnel"."as_of" IS 'Everything that was upstream then is counted (UTC), the older of leads and requests; null: a first full read is not complete';

CREATE OR REPLACE VIEW "reporting"."open_backlog" AS
SELECT b.connection_id, b.department_id, n.name AS department, b.channel, b.status, b.open, b.unanswered, b.oldest_opened_at,
  b.under_1_hour, b.under_1_day, b.under_7_days, b.older, s.as_of, reporting.status_name('tiledesk.requests', b.status) AS status_name
FROM (
  SELECT connection_id, department_id, channel, status, count(*) AS open, count(*) FILTER (WHERE NOT is_answered) AS unanswered,
    min(opened_at) AS oldest_opened_at, count(*) FILTER (WHERE opened_at > now() - interval '1 hour') AS under_1_hour,
    count(*) FILTER (WHERE opened_at <= now() - interval '1 hour' AND opened_at > now() - interval '24 hours') AS under_1_day,
    count(*) FILTER (WHERE opened_at <= now() - interval '24 hours' AND opened_at > now() - interval '168 hours') AS under_7_days,
    count(*) FILTER (WHERE opened_at <= now() - interval '168 hours') AS older
  FROM "reporting"."request_facts" WHERE is_open GROUP BY 1, 2, 3, 4
) b
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = b.connection_id AND n.id = b.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = b.connection_id AND s.stream = 'tiledesk.requests';
COMMENT ON VIEW "reporting"."open_backlog" IS 'Requests that are open: neither closed nor abandoned, reopened ones included. Deleted requests, drafts, preflight and temporary ones are left out. Reads request_facts; ages are as of now';
COMMENT ON COLUMN "reporting"."open_backlog"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."open_backlog"."department_id" IS 'tiledesk.departments.id; null: none';
COMMENT ON COLUMN "reporting"."open_backlog"."department" IS 'Its name';
COMMENT ON COLUMN "reporting"."open_backlog"."channel" IS 'Channel name; null: none';
COMMENT ON COLUMN "reporting"."open_backlog"."status" IS '100 unassigned, 200 assigned; other numbers as upstream';
COMMENT ON COLUMN "reporting"."open_backlog"."open" IS 'Open requests';
COMMENT ON COLUMN "reporting"."open_backlog"."unanswered" IS 'Of these: no agent has answered';
COMMENT ON COLUMN "reporting"."open_backlog"."oldest_opened_at" IS 'The oldest was opened (UTC)';
COMMENT ON COLUMN "reporting"."open_backlog"."under_1_hour" IS 'Opened less than an hour ago';
COMMENT ON COLUMN "reporting"."open_backlog"."under_1_day" IS 'Opened 1 to 24 hours ago';
COMMENT ON COLUMN "reporting"."open_backlog"."under_7_days" IS 'Opened 24 to 168 hours ago';
COMMENT ON COLUMN "reporting"."open_backlog"."older" IS 'Opened 168 hours ago or earlier';
COMMENT ON COLUMN "reporting"."open_backlog"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';
COMMENT ON COLUMN "reporting"."open_backlog"."status_name" IS 'Name of the status: unassigned, assigned';

-- The names of agents are collected once for a query, not looked up for each row; where they are not asked for, they are not read.
CREATE OR REPLACE VIEW "reporting"."requests" AS
SELECT f.connection_id, f.id, f.status, f.opened_at, f.opened_on, f.opened_hour, f.first_response_at, f.closed_at, f.closed_on, f.is_open, f.is_answered,
  f.first_response_ms / 1000.0::double precision AS first_response_seconds, f.resolution_ms / 1000.0::double precision AS resolution_seconds, f.rating,
  f.channel, f.department_id, n.name AS department, f.lead_id, f.agent_ids, f.closer_id, s.as_of,
  reporting.status_name('tiledesk.requests', f.status) AS status_name,
  ARRAY(SELECT coalesce(a.names ->> i.id, i.id) FROM unnest(f.agent_ids) i (id)) AS agents, a.names ->> f.closer_id AS closer,
  f.first_response_business_ms / 1000.0::double precision AS first_response_business_seconds
FROM "reporting"."request_facts" f
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = f.connection_id AND n.id = f.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = f.connection_id AND s.stream = 'tiledesk.requests'
LEFT JOIN (SELECT connection_id, jsonb_object_agg(id, name) AS names FROM "reporting"."names" WHERE kind = 'agent' GROUP BY connection_id) a
  ON a.connection_id = f.connection_id
WHERE f.is_counted;
COMMENT ON VIEW "reporting"."requests" IS 'One slim row per request that counts, for questions that the other views do not answer. Deleted requests, drafts, preflight and temporary ones are left out. Reads request_facts';
COMMENT ON COLUMN "reporting"."requests"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."requests"."id" IS 'tiledesk.requests.id';
COMMENT ON COLUMN "reporting"."requests"."status" IS '100 unassigned, 150 abandoned, 200 assigned, 1000 closed';
COMMENT ON COLUMN "reporting"."requests"."opened_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "reporting"."requests"."opened_on" IS 'The day of that in the time zone of the account';
COMMENT ON COLUMN "reporting"."requests"."opened_hour" IS 'The hour of that in the time zone of the account, 0 to 23';
COMMENT ON COLUMN "reporting"."requests"."first_response_at" IS 'First answer by an agent (UTC)';
COMMENT ON COLUMN "reporting"."requests"."closed_at" IS 'Last closing (UTC), only while it is closed';
COMMENT ON COLUMN "reporting"."requests"."closed_on" IS 'The day of that in the time zone of the account';
COMMENT ON COLUMN "reporting"."requests"."is_open" IS 'Neither closed nor abandoned';
COMMENT ON COLUMN "reporting"."requests"."is_answered" IS 'An agent answered';
COMMENT ON COLUMN "reporting"."requests"."first_response_seconds" IS 'From opening to the first answer by an agent';
COMMENT ON COLUMN "reporting"."requests"."resolution_seconds" IS 'From opening to the last closing; null while it is not closed';
COMMENT ON COLUMN "reporting"."requests"."rating" IS 'Rating by the visitor';
COMMENT ON COLUMN "reporting"."requests"."channel" IS 'Channel name';
COMMENT ON COLUMN "reporting"."requests"."department_id" IS 'tiledesk.departments.id';
COMMENT ON COLUMN "reporting"."requests"."department" IS 'Its name';
COMMENT ON COLUMN "reporting"."requests"."lead_id" IS 'tiledesk.leads.id';
COMMENT ON COLUMN "reporting"."requests"."agent_ids" IS 'User ids of the people who take part';
COMMENT ON COLUMN "reporting"."requests"."closer_id" IS 'User id of the person who closed it; null when a bot or the server did';
COMMENT ON COLUMN "reporting"."requests"."as_of" IS 'Everything that was upstream then is here (UTC); null: the first full read is not complete';
COMMENT ON COLUMN "reporting"."requests"."status_name" IS 'Name of the status: unassigned, abandoned, assigned, closed';
COMMENT ON COLUMN "reporting"."requests"."agents" IS 'Names of the people who take part: first and last name, else the e-mail address, else the user id';
COMMENT ON COLUMN "reporting"."requests"."closer" IS 'Name of the person who closed it';
COMMENT ON COLUMN "reporting"."requests"."first_response_business_seconds" IS 'Of first_response_seconds, the part within the business hours of the account; null: none are set';

CREATE OR REPLACE VIEW "reporting"."link_engagement" AS
SELECT k.connection_id, k.id AS link_id, k.name, k.external_id, k.project_id, p.name AS project, k.creator_id, u.name AS creator, k.sent_at, k.sent_on,
  k.archived_at, k.is_consulted OR k.visits > 0 OR coalesce(k.access_count, 0) > 0 AS is_opened,
  least(k.first_access_at, k.first_visit_at) AS first_opened_at, greatest(k.last_access_at, k.last_visit_at) AS last_opened_at,
  greatest(k.access_count, k.visits, 0) AS visits, greatest(k.total_time_ms, k.visits_time_ms, 0) / 1000.0 AS time_read_seconds,
  greatest(k.percent_read, k.visits_percent) AS percent_read, k.is_signed OR k.is_signed_in_visit AS is_signed, k.is_downloaded, k.interest,
  CASE WHEN k.won IN ('won', 'lost') THEN k.won ELSE p.verdict END AS verdict, k.person_key, s.as_of
FROM "reporting"."link_facts" k
LEFT JOIN "reporting"."names" p ON p.kind = 'project' AND p.connection_id = k.connection_id AND p.id = k.project_id
LEFT JOIN "reporting"."names" u ON u.kind = 'user' AND u.connection_id = k.connection_id AND u.id = k.creator_id
LEFT JOIN (
  SELECT connection_id, CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of
  FROM "reporting"."sources" WHERE stream IN ('tilkee.tokens', 'tilkee.connexions', 'tilkee.projects') GROUP BY 1
) s ON s.connection_id = k.connection_id
WHERE k.is_counted;
COMMENT ON VIEW "reporting"."link_engagement" IS 'One row per Tilkee link. Numbers are the greater of the link''s value (which arrives with the full sync) and the sum of its visits (which arrive sooner). Deleted links and visits are left out, archived links are in. Reads link_facts';
COMMENT ON COLUMN "reporting"."link_engagement"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."link_engagement"."link_id" IS 'tilkee.tokens.id';
COMMENT ON COLUMN "reporting"."link_engagement"."name" IS 'Label, normally the recipient';
COMMENT ON COLUMN "reporting"."link_engagement"."external_id" IS 'The caller''s own contact id';
COMMENT ON COLUMN "reporting"."link_engagement"."project_id" IS 'tilkee.projects.id';
COMMENT ON COLUMN "reporting"."link_engagement"."project" IS 'Its name';
COMMENT ON COLUMN "reporting"."link_engagement"."creator_id" IS 'tilkee.users.id';
COMMENT ON COLUMN "reporting"."link_engagement"."creator" IS 'Name of that user';
COMMENT ON COLUMN "reporting"."link_engagement"."sent_at" IS 'The link was made (UTC)';
COMMENT ON COLUMN "reporting"."link_engagement"."sent_on" IS 'The day of that in the time zone of the account';
COMMENT ON COLUMN "reporting"."link_engagement"."archived_at" IS 'Archived (UTC)';
COMMENT ON COLUMN "reporting"."link_engagement"."is_opened" IS 'Was opened';
COMMENT ON COLUMN "reporting"."link_engagement"."first_opened_at" IS 'First visit (UTC)';
COMMENT ON COLUMN "reporting"."link_engagement"."last_opened_at" IS 'Last visit (UTC)';
COMMENT ON COLUMN "reporting"."link_engagement"."visits" IS 'Visits';
COMMENT ON COLUMN "reporting"."link_engagement"."time_read_seconds" IS 'Time spent reading, all visits together';
COMMENT ON COLUMN "reporting"."link_engagement"."percent_read" IS 'Share read, 0 to 100; of the visits the one that read most';
COMMENT ON COLUMN "reporting"."link_engagement"."is_signed" IS 'Was signed';
COMMENT ON COLUMN "reporting"."link_engagement"."is_downloaded" IS 'Was downloaded';
COMMENT ON COLUMN "reporting"."link_engagement"."interest" IS 'Interest score, as upstream';
COMMENT ON COLUMN "reporting"."link_engagement"."verdict" IS 'won or lost where the link has it, else the verdict of its project';
COMMENT ON COLUMN "reporting"."link_engagement"."person_key" IS 'reporting.lead_360.person_key';
COMMENT ON COLUMN "reporting"."link_engagement"."as_of" IS 'Everything that was upstream then is counted (UTC), the oldest of links, visits and projects; null: a first full read is not complete';

-- Both parts have the same types, so that conditions and orders reach the indexes of each.
CREATE OR REPLACE VIEW "reporting"."lead_360" AS
SELECT p.person_key, p.name, p.email, p.phone, p.company, p.matched_by, p.leads, p.links, p.lead_ids, p.link_ids, p.first_seen_at,
  p.requests, p.open_requests, p.last_chat_at, p.visits, p.last_visit_at, p.time_read_ms / 1000.0 AS time_read_seconds, p.percent_read, p.interest,
  p.outcome, s.as_of
FROM (
  SELECT person_key, name, email, phone, company, matched_by, leads, links, lead_ids, link_ids, first_seen_at, requests, open_requests, last_chat_at,
    visits, last_visit_at, time_read_ms, percent_read, interest, outcome
  FROM "reporting"."people"
  UNION ALL
  SELECT f.person_key, f.name, f.email_key, CASE WHEN f.phone_key IS NOT NULL THEN f.phone END, f.company, NULL::text[], 1::bigint, 0::bigint, ARRAY[f.id],
    '{}'::text[], f.created_at, f.requests, f.open_requests, f.last_chat_at, 0::bigint, NULL::timestamptz, 0::bigint, NULL::double precision, NULL::double precision, NULL::text
  FROM "reporting"."lead_facts" f
  WHERE f.is_counted AND NOT EXISTS (SELECT FROM "reporting"."people" p WHERE p.person_key = f.person_key)
) p
CROSS JOIN (
  SELECT CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of FROM "reporting"."sources"
  WHERE is_enabled AND stream IN ('tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens', 'tilkee.connexions', 'tilkee.projects')
) s
-- Asked only of rows that name nobody.
WHERE p.name IS NOT NULL OR p.email IS NOT NULL OR p.phone IS NOT NULL OR p.person_key NOT IN (
  SELECT 'lead:' || e.connection_id || ':' || e.id FROM tiledesk.leads e WHERE e.erased_at IS NOT NULL
  UNION ALL SELECT 'link:' || e.connection_id || ':' || e.id FROM tilkee.tokens e WHERE e.erased_at IS NOT NULL);
COMMENT ON VIEW "reporting"."lead_360" IS 'One row per person across Tiledesk leads and Tilkee links of all accounts. Leads of one e-mail address are one person; a lead without an address goes by its phone number, which leads to an address when leads with exactly one address have it. A link belongs to the lead that its external id names (id or lead_id; the newest of several), else to the e-mail address in its external id or name, else to the international phone number there. Deleted and temporary leads and deleted links are left out. Reads people';
COMMENT ON COLUMN "reporting"."lead_360"."person_key" IS 'email:, phone:, lead: or link: and what identifies the person';
COMMENT ON COLUMN "reporting"."lead_360"."name" IS 'Of the newest lead that has one, else of the newest link';
COMMENT ON COLUMN "reporting"."lead_360"."email" IS 'E-mail address in lower case: of the newest lead that has one, else of the newest link';
COMMENT ON COLUMN "reporting"."lead_360"."phone" IS 'Phone number: of the newest lead that has one, as given, else of the newest link';
COMMENT ON COLUMN "reporting"."lead_360"."company" IS 'Of the newest lead that has one';
COMMENT ON COLUMN "reporting"."lead_360"."matched_by" IS 'Rules that brought the leads and links together: email, external_id, phone; null: there is only one';
COMMENT ON COLUMN "reporting"."lead_360"."leads" IS 'Leads of the person';
COMMENT ON COLUMN "reporting"."lead_360"."links" IS 'Links made for the person';
COMMENT ON COLUMN "reporting"."lead_360"."lead_ids" IS 'tiledesk.leads.id, oldest first';
COMMENT ON COLUMN "reporting"."lead_360"."link_ids" IS 'tilkee.tokens.id, oldest first';
COMMENT ON COLUMN "reporting"."lead_360"."first_seen_at" IS 'The oldest lead or link was created (UTC)';
COMMENT ON COLUMN "reporting"."lead_360"."requests" IS 'Requests of the leads; which count: see requests_daily';
COMMENT ON COLUMN "reporting"."lead_360"."open_requests" IS 'Of these: open';
COMMENT ON COLUMN "reporting"."lead_360"."last_chat_at" IS 'The newest request was opened (UTC)';
COMMENT ON COLUMN "reporting"."lead_360"."visits" IS 'Visits through the links';
COMMENT ON COLUMN "reporting"."lead_360"."last_visit_at" IS 'The last of them (UTC)';
COMMENT ON COLUMN "reporting"."lead_360"."time_read_seconds" IS 'Time spent reading, all links together';
COMMENT ON COLUMN "reporting"."lead_360"."percent_read" IS 'Share read of the link that was read most, 0 to 100';
COMMENT ON COLUMN "reporting"."lead_360"."interest" IS 'Greatest interest score of the links, as upstream';
COMMENT ON COLUMN "reporting"."lead_360"."outcome" IS 'Of the links: signed, else won, else lost; null: none of these';
COMMENT ON COLUMN "reporting"."lead_360"."as_of" IS 'Everything that was upstream then is counted (UTC), the oldest of all accounts; null: a first full read is not complete';

CREATE OR REPLACE VIEW "reporting"."freshness" AS
SELECT t.relation, t.connection_id, t.reads, t.as_of, t.refreshed_at, extract(epoch FROM now() - t.as_of)::bigint AS lag_seconds
FROM (
  SELECT s.stream AS relation, s.connection_id, 'itself'::text AS reads, s.as_of, NULL::timestamptz AS refreshed_at FROM "sync"."status" s
  UNION ALL
  SELECT 'reporting.' || v.name, s.connection_id, v.reads, CASE WHEN bool_and(s.as_of IS NOT NULL) THEN min(s.as_of) END, r.refreshed_at
  FROM (VALUES
    ('requests', 'request_facts', ARRAY['tiledesk.requests']),
    ('requests_daily', 'request_days', ARRAY['tiledesk.requests']),
    ('csat', 'request_days', ARRAY['tiledesk.requests']),
    ('response_times', 'response_stats', ARRAY['tiledesk.requests']),
    ('agent_activity', 'agent_days', ARRAY['tiledesk.requests']),
    ('open_backlog', 'request_facts', ARRAY['tiledesk.requests']),
    ('lead_funnel', 'lead_facts', ARRAY['tiledesk.leads', 'tiledesk.requests']),
    ('link_engagement', 'link_facts', ARRAY['tilkee.tokens', 'tilkee.connexions', 'tilkee.projects']),
    ('lead_360', 'people', ARRAY['tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens', 'tilkee.connexions', 'tilkee.projects'])
  ) AS v(name, reads, streams)
  JOIN "reporting"."sources" s ON s.is_enabled AND s.stream = ANY (v.streams)
  CROSS JOIN "reporting"."refreshes" r
  GROUP BY v.name, v.reads, s.connection_id, r.refreshed_at
) t;
COMMENT ON VIEW "reporting"."freshness" IS 'How fresh each mirrored table and each view is, by account';
COMMENT ON COLUMN "reporting"."freshness"."relation" IS 'tiledesk.requests, reporting.requests_daily, ...';
COMMENT ON COLUMN "reporting"."freshness"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."freshness"."reads" IS 'The precomputed table of schema reporting that the view reads; itself: a mirrored table';
COMMENT ON COLUMN "reporting"."freshness"."as_of" IS 'Everything that was upstream then is there (UTC); null: a first full read is not complete';
COMMENT ON COLUMN "reporting"."freshness"."refreshed_at" IS 'The precomputed table was brought up to the mirror (UTC); null for mirrored tables';
COMMENT ON COLUMN "reporting"."freshness"."lag_seconds" IS 'Seconds since as_of';

-- Reports from the versions of requests. They can only be made once there are versions: switching on the history of tiledesk.requests calls this.
CREATE OR REPLACE FUNCTION "reporting"."make_history_views"() RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
  IF to_regclass('tiledesk.requests_versions') IS NULL THEN RETURN; END IF;

  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'tiledesk.requests_history'::regclass AND tgname = 'note_removed') THEN
    CREATE TRIGGER note_removed AFTER DELETE ON tiledesk.requests_history REFERENCING OLD TABLE AS deleted
      FOR EACH STATEMENT EXECUTE FUNCTION reporting.note_removed();
  END IF;

  CREATE OR REPLACE VIEW reporting.backlog_daily AS
  SELECT b.connection_id, d.day::date AS day, nullif(b.department_id, '') AS department_id, n.name AS department, nullif(b.channel, '') AS channel,
    i.open, i.unassigned, i.open_least, i.open_most, i.closed, i.reopened, (d.day + interval '1 day') AT TIME ZONE b.zone < h.on_since AS is_estimated,
    p.as_of
  FROM (
    SELECT c.connection_id, c.day, c.department_id, c.channel, c.closed, c.reopened, sum(c.open) OVER w AS open, sum(c.unassigned) OVER w AS unassigned,
      sum(c.open_least) OVER w AS open_least, sum(c.open_most) OVER w AS open_most, lead(c.day) OVER w AS next_day, z.zone,
      (now() AT TIME ZONE z.zone)::date AS today
    FROM reporting.backlog_changes c
    LEFT JOIN reporting.applied_zones own ON own.connection_id = c.connection_id
    LEFT JOIN reporting.applied_zones common ON common.connection_id = '*'
    CROSS JOIN LATERAL (SELECT coalesce(own.time_zone, common.time_zone, 'UTC') AS zone) z
    WINDOW w AS (PARTITION BY c.connection_id, c.department_id, c.channel ORDER BY c.day)
  ) b
  JOIN sync.history h ON h.stream = 'tiledesk.requests' AND h.off_since IS NULL
  CROSS JOIN LATERAL generate_series(b.day::timestamp, (coalesce(b.next_day, greatest(b.day + 1, b.today)) - 1)::timestamp, interval '1 day') d (day)
  -- Of today, and of a day that upstream dates later, only what happened is known.
  CROSS JOIN LATERAL (SELECT d.day < b.today AS has_ended, d.day = b.day AS is_own) t
  CROSS JOIN LATERAL (SELECT CASE WHEN t.has_ended THEN b.open ELSE 0 END AS open, CASE WHEN t.has_ended THEN b.unassigned ELSE 0 END AS unassigned,
    CASE WHEN t.has_ended THEN b.open_least ELSE 0 END AS open_least, CASE WHEN t.has_ended THEN b.open_most ELSE 0 END AS open_most,
    CASE WHEN t.is_own THEN b.closed ELSE 0 END::bigint AS closed, CASE WHEN t.is_own THEN b.reopened ELSE 0 END::bigint AS reopened) i
  LEFT JOIN reporting.sources p ON p.connection_id = b.connection_id AND p.stream = 'tiledesk.requests'
  LEFT JOIN reporting.names n ON n.kind = 'department' AND n.connection_id = b.connection_id AND n.id = b.department_id
  WHERE i.open + i.open_least + i.open_most + i.closed + i.reopened > 0;
  COMMENT ON VIEW reporting.backlog_daily IS 'Requests open at the end of each day, in the time zone of the account (reporting.settings), from their versions. The true number is between open_least and open_most';
  COMMENT ON COLUMN reporting.backlog_daily.connection_id IS 'Configured account';
  COMMENT ON COLUMN reporting.backlog_daily.day IS 'Day in the time zone of the account';
  COMMENT ON COLUMN reporting.backlog_daily.department_id IS 'tiledesk.departments.id';
  COMMENT ON COLUMN reporting.backlog_daily.department IS 'Name of the department';
  COMMENT ON COLUMN reporting.backlog_daily.channel IS 'Channel name';
  COMMENT ON COLUMN reporting.backlog_daily.open IS 'Open when the day ended, by the best estimate; 0 for the day that has not ended';
  COMMENT ON COLUMN reporting.backlog_daily.unassigned IS 'Of these, with status 100';
  COMMENT ON COLUMN reporting.backlog_daily.open_least IS 'At least so many: those that were seen open before and after';
  COMMENT ON COLUMN reporting.backlog_daily.open_most IS 'At most so many: those, too, that may have been open between two looks';
  COMMENT ON COLUMN reporting.backlog_daily.closed IS 'Closed on that day, as far as seen';
  COMMENT ON COLUMN reporting.backlog_daily.reopened IS 'Reopened on that day, as far as seen';
  COMMENT ON COLUMN reporting.backlog_daily.is_estimated IS 'The day ended before history was switched on: requests of then as they were when it was';
  COMMENT ON COLUMN reporting.backlog_daily.as_of IS 'reporting.sources.as_of: changes after it are not counted (UTC)';

  CREATE OR REPLACE VIEW reporting.status_times AS
  SELECT t.connection_id, t.id, t.opened_at, t.unassigned_ms, t.unassigned_ms_least, t.unassigned_ms_least + t.unsure_ms AS unassigned_ms_most,
    t.assigned_ms, t.assigned_ms_least, t.assigned_ms_least + t.unsure_ms AS assigned_ms_most, t.reopened, t.reassigned, t.first_agent, t.last_agent, t.as_of
  FROM (
    SELECT s.connection_id, s.id, min(coalesce(s.from_after, s.from_before)) AS opened_at, p.as_of,
      coalesce(sum(e.estimate) FILTER (WHERE s.status = 100), 0)::bigint AS unassigned_ms,
      coalesce(sum(e.least) FILTER (WHERE s.status = 100), 0)::bigint AS unassigned_ms_least,
      coalesce(sum(e.estimate) FILTER (WHERE s.status = 200), 0)::bigint AS assigned_ms,
      coalesce(sum(e.least) FILTER (WHERE s.status = 200), 0)::bigint AS assigned_ms_least,
      coalesce(sum(e.unsure), 0)::bigint AS unsure_ms,
      count(*) FILTER (WHERE s.status_before = 1000 AND s.is_open) AS reopened,
      count(*) FILTER (WHERE s.is_reassigned) AS reassigned,
      (array_agg(s.agent_id ORDER BY s.seq) FILTER (WHERE s.agent_id IS NOT NULL))[1] AS first_agent,
      (array_agg(s.agent_id ORDER BY s.seq DESC) FILTER (WHERE s.agent_id IS NOT NULL))[1] AS last_agent
    FROM reporting.request_states s
    JOIN sync.history h ON h.stream = 'tiledesk.requests' AND h.off_since IS NULL
    LEFT JOIN reporting.sources p ON p.connection_id = s.connection_id AND p.stream = 'tiledesk.requests'
    CROSS JOIN LATERAL (SELECT
      extract(epoch FROM greatest(interval '0', coalesce(s.to_before, p.as_of) - s.from_before)) * 1000 AS estimate,
      extract(epoch FROM greatest(interval '0', coalesce(s.to_after, p.as_of) - s.from_before)
        + CASE WHEN s.is_other THEN interval '0' ELSE s.from_before - s.from_after END) * 1000 AS least,
      CASE WHEN s.is_other THEN extract(epoch FROM s.from_before - s.from_after) * 1000 END AS unsure) e
    GROUP BY s.connection_id, s.id, p.as_of
  ) t;
  COMMENT ON VIEW reporting.status_times IS 'How long each request was in a status, from its versions: the true time is between least and most. A request that is still in the status counts until as_of';
  COMMENT ON COLUMN reporting.status_times.connection_id IS 'Configured account';
  COMMENT ON COLUMN reporting.status_times.id IS 'tiledesk.requests.id';
  COMMENT ON COLUMN reporting.status_times.opened_at IS 'Created upstream (UTC)';
  COMMENT ON COLUMN reporting.status_times.unassigned_ms IS 'Milliseconds with status 100, by the best estimate';
  COMMENT ON COLUMN reporting.status_times.unassigned_ms_least IS 'At least so many';
  COMMENT ON COLUMN reporting.status_times.unassigned_ms_most IS 'At most so many';
  COMMENT ON COLUMN reporting.status_times.assigned_ms IS 'Milliseconds with status 200, by the best estimate';
  COMMENT ON COLUMN reporting.status_times.assigned_ms_least IS 'At least so many';
  COMMENT ON COLUMN reporting.status_times.assigned_ms_most IS 'At most so many';
  COMMENT ON COLUMN reporting.status_times.reopened IS 'How often it was seen reopened';
  COMMENT ON COLUMN reporting.status_times.reassigned IS 'How often it was seen with other agents than before';
  COMMENT ON COLUMN reporting.status_times.first_agent IS 'User id of the agent who was seen first; null: none';
  COMMENT ON COLUMN reporting.status_times.last_agent IS 'User id of the agent who was seen last; null: none';
  COMMENT ON COLUMN reporting.status_times.as_of IS 'reporting.sources.as_of: changes after it are not counted (UTC)';

  CREATE OR REPLACE FUNCTION reporting.sla(target interval, measure text DEFAULT 'closed')
  RETURNS TABLE (connection_id text, id text, department_id text, opened_at timestamptz, done_after timestamptz, done_before timestamptz, outcome text)
  LANGUAGE sql STABLE AS $sla$
    SELECT f.connection_id, f.id, f.department_id, f.opened_at, f.done_after, f.done_before,
      CASE WHEN f.done_before - f.opened_at <= target THEN 'met'
        WHEN coalesce(f.done_after, p.as_of) - f.opened_at >= target THEN 'broken'
        ELSE 'undecided' END AS outcome
    FROM (
      SELECT s.connection_id, s.id, (array_agg(s.department_id ORDER BY s.seq DESC))[1] AS department_id, r.created_at AS opened_at,
        CASE measure WHEN 'closed' THEN min(s.from_after) FILTER (WHERE c.was_closed) WHEN 'answered' THEN r.first_response_at END AS done_after,
        -- The first closing came no later than the closing time that was seen with it.
        CASE measure WHEN 'closed' THEN min(CASE WHEN s.closed_at BETWEEN s.from_after AND s.from_before THEN s.closed_at ELSE s.from_before END)
          FILTER (WHERE c.was_closed) WHEN 'answered' THEN r.first_response_at END AS done_before
      FROM reporting.request_states s JOIN tiledesk.requests r ON r.connection_id = s.connection_id AND r.id = s.id
      -- The closing time stays after a reopening: of both between two looks it is the trace.
      CROSS JOIN LATERAL (SELECT s.status = 1000 OR s.closed_at IS NOT NULL AS was_closed) c
      WHERE r.draft IS NOT TRUE AND r.preflight IS NOT TRUE AND r.status IS DISTINCT FROM 50 AND r.deleted_at IS NULL
      GROUP BY s.connection_id, s.id, r.created_at, r.first_response_at
    ) f
    JOIN sync.history h ON h.stream = 'tiledesk.requests' AND h.off_since IS NULL
    LEFT JOIN reporting.sources p ON p.connection_id = f.connection_id AND p.stream = 'tiledesk.requests'
  $sla$;
  COMMENT ON FUNCTION reporting.sla(interval, text) IS 'Whether each request was closed (or ''answered'' by an agent) within the target after its creation: met, broken, or undecided where it was done between two looks of which only one was in time, or is not done and has time left';
END
$make$;
COMMENT ON FUNCTION "reporting"."make_history_views"() IS 'Makes backlog_daily, status_times and sla once tiledesk.requests has a history';

CREATE OR REPLACE VIEW "reporting"."link_journeys" AS
SELECT k.connection_id, k.id AS link_id, k.name, k.project_id, p.name AS project, k.person_key, c.first_chat_at,
  k.sent_at, k.sent_on, least(k.first_access_at, k.first_visit_at) AS first_opened_at, v.signed_at, s.as_of
FROM "reporting"."link_facts" k
LEFT JOIN "reporting"."names" p ON p.kind = 'project' AND p.connection_id = k.connection_id AND p.id = k.project_id
LEFT JOIN LATERAL (
  -- The key of a lead with an address is that address.
  SELECT min(f.opened_at) AS first_chat_at FROM (
    SELECT l.connection_id, l.id FROM reporting.lead_facts l WHERE l.email_key = substring(k.person_key FROM '^email:(.*)') AND l.is_counted
    UNION ALL
    SELECT l.connection_id, l.id FROM reporting.lead_facts l WHERE l.person_key = k.person_key AND l.email_key IS NULL AND l.is_counted
  ) l
  JOIN reporting.request_facts f ON f.connection_id = l.connection_id AND f.lead_id = l.id AND f.is_counted
) c ON true
LEFT JOIN LATERAL (
  SELECT min(f.visited_at) AS signed_at FROM reporting.visit_facts f
  WHERE k.is_signed_in_visit AND f.connection_id = k.connection_id AND f.link_id = k.id AND f.is_counted AND f.is_signed
) v ON true
LEFT JOIN (
  SELECT connection_id, CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of
  FROM "reporting"."sources" WHERE stream IN ('tilkee.tokens', 'tilkee.connexions', 'tilkee.projects') GROUP BY 1
) s ON s.connection_id = k.connection_id
WHERE k.is_counted;
COMMENT ON VIEW "reporting"."link_journeys" IS 'One row per Tilkee link: from the first chat of its person to the first visit and the signature. Deleted links and visits are left out, archived links are in. Reads link_facts, and for each row that is shown the visits and requests of it: choose a period';
COMMENT ON COLUMN "reporting"."link_journeys"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."link_journeys"."link_id" IS 'tilkee.tokens.id';
COMMENT ON COLUMN "reporting"."link_journeys"."name" IS 'Label, normally the recipient';
COMMENT ON COLUMN "reporting"."link_journeys"."project_id" IS 'tilkee.projects.id';
COMMENT ON COLUMN "reporting"."link_journeys"."project" IS 'Its name';
COMMENT ON COLUMN "reporting"."link_journeys"."person_key" IS 'reporting.lead_360.person_key';
COMMENT ON COLUMN "reporting"."link_journeys"."first_chat_at" IS 'First request of the person that counts was opened (UTC); null: none';
COMMENT ON COLUMN "reporting"."link_journeys"."sent_at" IS 'The link was made (UTC)';
COMMENT ON COLUMN "reporting"."link_journeys"."sent_on" IS 'The day of that in the time zone of the account';
COMMENT ON COLUMN "reporting"."link_journeys"."first_opened_at" IS 'First visit (UTC)';
COMMENT ON COLUMN "reporting"."link_journeys"."signed_at" IS 'The first visit in which something was signed began (UTC); null: none is known';
COMMENT ON COLUMN "reporting"."link_journeys"."as_of" IS 'Everything of Tilkee that was upstream then is counted (UTC), the oldest of links, visits and projects; null: a first full read is not complete';

-- A view runs with the rights of its owner, so that it would show rows that row-level security hides from the reader. From Postgres 15 on it runs with those
-- of the reader; before, it shows nothing to a reader who may not read the whole table. Postgres asks that once a query, before it reads a row.
CREATE OR REPLACE FUNCTION "sync"."make_current_view"(in_schema text, in_table text,
  has_invoker boolean DEFAULT current_setting('server_version_num')::int >= 150000) RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
  source CONSTANT text := format('%I.%I', in_schema, in_table);
  target CONSTANT text := format('%I.%I', in_schema, in_table || '_current');
  stream CONSTANT text := in_schema || '.' || in_table;
  mark CONSTANT text := 'Rows of ' || stream || ' that are there: not deleted upstream, no person of them erased. Columns as in the table';
  has_names CONSTANT boolean := stream IN ('tiledesk.requests', 'tiledesk.leads', 'tiledesk.departments', 'tiledesk.messages');
  definition text;
  one record;
BEGIN
  -- What another program made under that name stays. Who may not create has no view, and needs none to mirror.
  IF to_regclass(target) IS NOT NULL AND obj_description(to_regclass(target), 'pg_class') IS DISTINCT FROM mark
    OR NOT has_schema_privilege(in_schema, 'CREATE') THEN RETURN; END IF;
  -- In the order of the table, so that a column that a later version adds comes last, and the view can be replaced.
  SELECT format('VIEW %s%s AS SELECT %s FROM %s t WHERE t.deleted_at IS NULL AND t.erased_at IS NULL%s', target,
      CASE WHEN has_invoker THEN ' WITH (security_invoker = true)' ELSE '' END,
      string_agg(format('t.%I', a.attname) || CASE WHEN has_names AND a.attname = 'status'
        THEN format(', reporting.status_name(%L, t.status) AS status_name', stream) ELSE '' END, ', ' ORDER BY a.attnum), source,
      CASE WHEN has_invoker THEN '' ELSE format(' AND has_table_privilege(%1$L, ''SELECT'') AND NOT row_security_active(%1$L)', source) END)
    INTO definition
  FROM pg_attribute a
  WHERE a.attrelid = source::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('deleted_at', 'erased_at');
  BEGIN
    EXECUTE 'CREATE OR REPLACE ' || definition;
  EXCEPTION WHEN invalid_table_definition THEN
    -- A column has another name now.
    EXECUTE format('DROP VIEW %s', target);
    EXECUTE 'CREATE ' || definition;
  END;
  EXECUTE format('COMMENT ON VIEW %s IS %L', target, mark);
  FOR one IN SELECT a.attname AS name, CASE a.attname WHEN 'status_name' THEN 'Name of the status'
      ELSE col_description(source::regclass, o.attnum) END AS text
    FROM pg_attribute a LEFT JOIN pg_attribute o ON o.attrelid = source::regclass AND o.attname = a.attname
    WHERE a.attrelid = target::regclass AND a.attnum > 0 AND NOT a.attisdropped
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target, one.name, one.text);
  END LOOP;
END
$make$;
COMMENT ON FUNCTION "sync"."make_current_view"(text, text, boolean) IS 'Makes the view <table>_current of a mirrored table, or brings it to its columns';

CREATE OR REPLACE FUNCTION "sync"."make_current_views"() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM sync.make_current_view(n.nspname::text, c.relname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('tiledesk', 'tilkee') AND c.relkind = 'r' AND (SELECT count(*) = 3 FROM pg_attribute a
    WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN ('content_hash', 'deleted_at', 'erased_at'));
END
$$;
COMMENT ON FUNCTION "sync"."make_current_views"() IS 'Makes the views of all built-in mirrored tables; at the end of each migration. One that drops or changes a column drops its view first';
SELECT "reporting"."make_history_views"();
