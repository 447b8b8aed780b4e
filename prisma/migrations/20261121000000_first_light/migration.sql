-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "sync";

-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "tiledesk";

-- CreateTable
CREATE TABLE "tiledesk"."leads" (
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

    CONSTRAINT "leads_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tiledesk"."requests" (
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

    CONSTRAINT "requests_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tiledesk"."departments" (
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

    CONSTRAINT "departments_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tiledesk"."project_users" (
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

    CONSTRAINT "project_users_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "sync"."streams" (
    "connection_id" TEXT NOT NULL,
    "stream" TEXT NOT NULL,
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "paused_at" TIMESTAMPTZ(3),
    "capabilities" JSONB NOT NULL DEFAULT '{}',
    "fresh_within_seconds" INTEGER NOT NULL DEFAULT 900,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "streams_pkey" PRIMARY KEY ("connection_id","stream")
);

-- CreateTable
CREATE TABLE "sync"."checkpoints" (
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

    CONSTRAINT "checkpoints_pkey" PRIMARY KEY ("connection_id","stream","pass")
);

-- CreateTable
CREATE TABLE "sync"."runs" (
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

-- CreateTable
CREATE TABLE "sync"."budgets" (
    "credential" TEXT NOT NULL,
    "base_spacing_ms" DOUBLE PRECISION NOT NULL,
    "spacing_ms" DOUBLE PRECISION NOT NULL,
    "next_free_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "blocked_until" TIMESTAMPTZ(3),
    "blocked_reason" TEXT,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "budgets_pkey" PRIMARY KEY ("credential")
);

-- CreateTable
CREATE TABLE "sync"."quarantine" (
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

    CONSTRAINT "quarantine_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "leads_connection_id_created_at_idx" ON "tiledesk"."leads"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "leads_connection_id_updated_at_idx" ON "tiledesk"."leads"("connection_id", "updated_at");

-- CreateIndex
CREATE INDEX "leads_email_idx" ON "tiledesk"."leads"("email");

-- CreateIndex
CREATE INDEX "leads_connection_id_lead_id_idx" ON "tiledesk"."leads"("connection_id", "lead_id");

-- CreateIndex
CREATE INDEX "requests_connection_id_created_at_idx" ON "tiledesk"."requests"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "requests_connection_id_updated_at_idx" ON "tiledesk"."requests"("connection_id", "updated_at");

-- CreateIndex
CREATE INDEX "requests_connection_id_lead_id_idx" ON "tiledesk"."requests"("connection_id", "lead_id");

-- CreateIndex
CREATE INDEX "requests_connection_id_department_id_idx" ON "tiledesk"."requests"("connection_id", "department_id");

-- CreateIndex
CREATE INDEX "requests_connection_id_request_id_idx" ON "tiledesk"."requests"("connection_id", "request_id");

-- CreateIndex
CREATE INDEX "runs_connection_id_stream_pass_id_idx" ON "sync"."runs"("connection_id", "stream", "pass", "id" DESC);

-- CreateIndex
CREATE INDEX "runs_started_at_idx" ON "sync"."runs"("started_at");

-- CreateIndex
CREATE UNIQUE INDEX "quarantine_connection_id_stream_record_id_key" ON "sync"."quarantine"("connection_id", "stream", "record_id");

-- The state of every configured stream, derived from facts alone: checkpoints, leases, runs, quarantine.
CREATE VIEW "sync"."status" AS
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
  f.open_quarantine
FROM (
-- What the last run of any of its streams learnt about an account holds for all of them.
SELECT r.*,
  first_value(r.last_outcome) OVER account AS account_outcome,
  first_value(r.last_error_code) OVER account AS account_error_code,
  first_value(r.last_error_message) OVER account AS account_error_message,
  first_value(r.last_ended_at) OVER account AS account_ended_at
FROM (
  SELECT
    s.connection_id,
    s.stream,
    s.paused_at,
    s.created_at,
    s.fresh_within_seconds,
    i.watermark,
    b.completed_at AS backfill_completed_at,
    greatest(i.completed_at, b.completed_at, r.completed_at) AS last_success_at,
    -- A full walk proves the state at its beginning, an incremental one at its end.
    CASE WHEN b.completed_at IS NOT NULL
      THEN greatest(i.completed_at, CASE WHEN b.cursor IS NULL THEN b.started_at END, CASE WHEN r.cursor IS NULL AND r.completed_at IS NOT NULL THEN r.started_at END)
    END AS as_of,
    CASE
      WHEN b.lease_until > clock_timestamp() THEN 'backfill'
      WHEN r.lease_until > clock_timestamp() THEN 'reconcile'
      WHEN i.lease_until > clock_timestamp() THEN 'incremental'
    END AS running_pass,
    l.outcome AS last_outcome,
    l.error_code AS last_error_code,
    l.error_message AS last_error_message,
    l.ended_at AS last_ended_at,
    (SELECT count(*) FROM "sync"."quarantine" q
      WHERE q.connection_id = s.connection_id AND q.stream = s.stream AND q.resolved_at IS NULL) AS open_quarantine
  FROM "sync"."streams" s
  LEFT JOIN "sync"."checkpoints" b ON b.connection_id = s.connection_id AND b.stream = s.stream AND b.pass = 'backfill'
  LEFT JOIN "sync"."checkpoints" i ON i.connection_id = s.connection_id AND i.stream = s.stream AND i.pass = 'incremental'
  LEFT JOIN "sync"."checkpoints" r ON r.connection_id = s.connection_id AND r.stream = s.stream AND r.pass = 'reconcile'
  LEFT JOIN LATERAL (
    SELECT x.outcome, x.error_code, x.error_message, x.ended_at
    FROM (VALUES ('incremental'), ('backfill'), ('reconcile')) AS p(pass)
    CROSS JOIN LATERAL (
      SELECT u.outcome, u.error_code, u.error_message, u.ended_at
      FROM "sync"."runs" u
      WHERE u.connection_id = s.connection_id AND u.stream = s.stream AND u.pass = p.pass
        AND u.ended_at IS NOT NULL AND u.outcome <> 'cancelled'
      ORDER BY u.id DESC LIMIT 1
    ) x
    ORDER BY x.ended_at DESC LIMIT 1
  ) l ON true
  WHERE s.enabled
) r
WINDOW account AS (PARTITION BY r.connection_id ORDER BY r.last_ended_at DESC NULLS LAST)
) f
CROSS JOIN LATERAL (
  SELECT * FROM (
    SELECT 1 AS rank, 'paused' AS state, 'paused by a person' AS reason, f.paused_at AS since
      WHERE f.paused_at IS NOT NULL
    UNION ALL
    SELECT 2, 'blocked', coalesce(f.last_error_message, f.last_error_code, 'the last run failed'), f.last_ended_at
      WHERE f.last_outcome = 'failed'
        AND f.last_error_code NOT IN ('network', 'timeout', 'upstream_unavailable', 'upstream_garbled', 'database_unavailable')
    UNION ALL
    SELECT 2, 'blocked', coalesce(f.account_error_message, f.account_error_code), f.account_ended_at
      WHERE f.account_outcome = 'failed'
        AND (f.account_error_code LIKE 'auth%' OR f.account_error_code IN ('project_not_found', 'wrong_base_url'))
    UNION ALL
    SELECT 3, 'syncing', 'the first full read is under way', f.created_at
      WHERE f.backfill_completed_at IS NULL AND f.running_pass IS NOT NULL
    UNION ALL
    SELECT 4, 'never', 'no run yet', f.created_at
      WHERE f.backfill_completed_at IS NULL AND f.last_outcome IS NULL
    UNION ALL
    SELECT 5, 'partial', coalesce('the first full read is not finished: ' || f.last_error_message, 'the first full read is not finished'), coalesce(f.last_ended_at, f.created_at)
      WHERE f.backfill_completed_at IS NULL
    UNION ALL
    SELECT 6, 'partial', coalesce(f.last_error_message, 'the last walk could not be completed'), f.last_ended_at
      WHERE f.last_outcome = 'partial'
    UNION ALL
    SELECT 7, 'partial', f.open_quarantine || ' records are in quarantine', f.last_ended_at
      WHERE f.open_quarantine > 0
    UNION ALL
    SELECT 8, 'stale', coalesce('no complete pass in time: ' || f.last_error_message, 'no complete pass in time'), f.as_of
      WHERE f.as_of IS NULL OR f.as_of < now() - make_interval(secs => f.fresh_within_seconds)
    UNION ALL
    SELECT 9, 'fresh', 'complete as of the last pass', f.as_of
  ) candidates
  ORDER BY rank LIMIT 1
) v;

COMMENT ON VIEW "sync"."status" IS 'One row per configured stream: its state (fresh, syncing, stale, partial, blocked, paused, never), why and since when.';
COMMENT ON COLUMN "sync"."status"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."status"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."status"."state" IS 'fresh, syncing, stale, partial, blocked, paused or never';
COMMENT ON COLUMN "sync"."status"."reason" IS 'Why it is in this state, for people';
COMMENT ON COLUMN "sync"."status"."since" IS 'Since when the reason holds (UTC)';
COMMENT ON COLUMN "sync"."status"."running_pass" IS 'Pass that runs now; null when none does';
COMMENT ON COLUMN "sync"."status"."last_success_at" IS 'A pass last ended complete (UTC)';
COMMENT ON COLUMN "sync"."status"."as_of" IS 'The mirror holds everything that was there then (UTC); null before the first full read';
COMMENT ON COLUMN "sync"."status"."lag_seconds" IS 'Seconds since as_of';
COMMENT ON COLUMN "sync"."status"."watermark" IS 'Greatest upstream change time safely stored, by list (UTC)';
COMMENT ON COLUMN "sync"."status"."backfill_completed_at" IS 'The first full read ended complete (UTC)';
COMMENT ON COLUMN "sync"."status"."open_quarantine" IS 'Records set aside and not resolved';

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
COMMENT ON COLUMN "tiledesk"."leads"."created_by" IS 'User id, or the word system';
COMMENT ON COLUMN "tiledesk"."leads"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."updated_at" IS 'Last change upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."raw" IS 'The upstream object as received, less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."leads"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."leads"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."leads"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."leads"."deleted_at" IS 'Null: alive. For leads of status 1000, the time of that change';
COMMENT ON COLUMN "tiledesk"."leads"."run_id" IS 'Run that wrote this version: sync.runs.id';

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
COMMENT ON COLUMN "tiledesk"."requests"."working_status" IS 'new, pending, open or a custom word';
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
COMMENT ON COLUMN "tiledesk"."requests"."created_by" IS 'User id, or the word system';
COMMENT ON COLUMN "tiledesk"."requests"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."updated_at" IS 'Last change upstream (UTC); every new message moves it';
COMMENT ON COLUMN "tiledesk"."requests"."raw" IS 'The upstream object as received (transcript and snapshot included), less what the privacy settings drop';
COMMENT ON COLUMN "tiledesk"."requests"."content_hash" IS 'md5 of raw in its canonical text form; equal means unchanged';
COMMENT ON COLUMN "tiledesk"."requests"."text_repaired" IS 'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them';
COMMENT ON COLUMN "tiledesk"."requests"."first_seen_at" IS 'First written to the mirror (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."synced_at" IS 'Last time this row was written (UTC)';
COMMENT ON COLUMN "tiledesk"."requests"."deleted_at" IS 'Null: alive';
COMMENT ON COLUMN "tiledesk"."requests"."run_id" IS 'Run that wrote this version: sync.runs.id';

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
COMMENT ON COLUMN "tiledesk"."departments"."offline_msg" IS 'Greeting while nobody is there';
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
COMMENT ON COLUMN "tiledesk"."project_users"."profile_status" IS 'Word the user set';
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

COMMENT ON TABLE "sync"."streams" IS 'Streams that were configured at any time, with what was learnt about their server.';
COMMENT ON COLUMN "sync"."streams"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."streams"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."streams"."enabled" IS 'Part of the configuration that started last';
COMMENT ON COLUMN "sync"."streams"."paused_at" IS 'Set while a person paused the stream (UTC)';
COMMENT ON COLUMN "sync"."streams"."capabilities" IS 'Facts found out about the server once, by name';
COMMENT ON COLUMN "sync"."streams"."fresh_within_seconds" IS 'A stream is fresh when its last complete incremental pass is younger than this';
COMMENT ON COLUMN "sync"."streams"."created_at" IS 'First configured (UTC)';
COMMENT ON COLUMN "sync"."streams"."updated_at" IS 'Last time this row was written (UTC)';

COMMENT ON TABLE "sync"."checkpoints" IS 'Stored progress, one row per stream and pass; also the lease that lets one run at a time write it.';
COMMENT ON COLUMN "sync"."checkpoints"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."checkpoints"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."checkpoints"."pass" IS 'backfill, incremental or reconcile';
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

COMMENT ON TABLE "sync"."runs" IS 'One row per run; runs in a row that found nothing new are folded into idle_runs of the first of them.';
COMMENT ON COLUMN "sync"."runs"."id" IS 'Grows with time';
COMMENT ON COLUMN "sync"."runs"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."runs"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."runs"."pass" IS 'backfill, incremental or reconcile';
COMMENT ON COLUMN "sync"."runs"."outcome" IS 'succeeded, partial, failed, postponed or cancelled; null while it runs';
COMMENT ON COLUMN "sync"."runs"."requests" IS 'HTTP requests for the stream''s lists, retries included; sign-in and role check belong to the connection';
COMMENT ON COLUMN "sync"."runs"."pages" IS 'Pages written';
COMMENT ON COLUMN "sync"."runs"."read" IS 'Records read';
COMMENT ON COLUMN "sync"."runs"."created" IS 'Rows new in the mirror';
COMMENT ON COLUMN "sync"."runs"."updated" IS 'Rows changed in the mirror';
COMMENT ON COLUMN "sync"."runs"."unchanged" IS 'Rows already there in this version';
COMMENT ON COLUMN "sync"."runs"."deleted" IS 'Rows marked deleted';
COMMENT ON COLUMN "sync"."runs"."quarantined" IS 'Records set aside: sync.quarantine';
COMMENT ON COLUMN "sync"."runs"."idle_runs" IS 'Runs since this one that found nothing new and are not listed themselves';
COMMENT ON COLUMN "sync"."runs"."watermark" IS 'The watermark after the run, by list (UTC)';
COMMENT ON COLUMN "sync"."runs"."error_code" IS 'Why the run ended other than succeeded: a stable word';
COMMENT ON COLUMN "sync"."runs"."error_message" IS 'The same for people';
COMMENT ON COLUMN "sync"."runs"."worker" IS 'Host and process';
COMMENT ON COLUMN "sync"."runs"."started_at" IS 'Began (UTC)';
COMMENT ON COLUMN "sync"."runs"."ended_at" IS 'Ended (UTC), folded idle runs included';

COMMENT ON TABLE "sync"."budgets" IS 'The request budget, one row per credential, shared by all processes on all machines.';
COMMENT ON COLUMN "sync"."budgets"."credential" IS 'Server and a digest of the account''s name; no secret';
COMMENT ON COLUMN "sync"."budgets"."base_spacing_ms" IS 'Configured milliseconds between two requests';
COMMENT ON COLUMN "sync"."budgets"."spacing_ms" IS 'Milliseconds between two requests now; larger after a refusal without guidance';
COMMENT ON COLUMN "sync"."budgets"."next_free_at" IS 'Theoretical time of the next request; up to burst requests may run ahead of it';
COMMENT ON COLUMN "sync"."budgets"."blocked_until" IS 'Nobody asks before then (UTC)';
COMMENT ON COLUMN "sync"."budgets"."blocked_reason" IS 'Why: a stable word';
COMMENT ON COLUMN "sync"."budgets"."updated_at" IS 'Last time this row was written (UTC)';

COMMENT ON TABLE "sync"."quarantine" IS 'Records that could not be mapped or written, with the reason.';
COMMENT ON COLUMN "sync"."quarantine"."id" IS 'Grows with time';
COMMENT ON COLUMN "sync"."quarantine"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."quarantine"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."quarantine"."record_id" IS 'Upstream id; for a record without a usable one, a digest of its text';
COMMENT ON COLUMN "sync"."quarantine"."reason" IS 'A stable word';
COMMENT ON COLUMN "sync"."quarantine"."raw_text" IS 'The record as received';
COMMENT ON COLUMN "sync"."quarantine"."run_id" IS 'Run that met it last: sync.runs.id';
COMMENT ON COLUMN "sync"."quarantine"."first_seen_at" IS 'First met (UTC)';
COMMENT ON COLUMN "sync"."quarantine"."last_seen_at" IS 'Last met (UTC)';
COMMENT ON COLUMN "sync"."quarantine"."resolved_at" IS 'Written after all, or gone (UTC); null while open';
