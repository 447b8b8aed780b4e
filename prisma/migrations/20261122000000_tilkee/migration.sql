-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "tilkee";

-- AlterTable
ALTER TABLE "sync"."streams" ADD COLUMN "notice" TEXT;

-- CreateTable
CREATE TABLE "tilkee"."projects" (
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

    CONSTRAINT "projects_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tilkee"."items" (
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

    CONSTRAINT "items_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tilkee"."tokens" (
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

    CONSTRAINT "tokens_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tilkee"."connexions" (
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

    CONSTRAINT "connexions_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "tilkee"."users" (
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

    CONSTRAINT "users_pkey" PRIMARY KEY ("connection_id","id")
);

-- CreateTable
CREATE TABLE "sync"."secrets" (
    "name" TEXT NOT NULL,
    "payload" BYTEA,
    "locked_until" TIMESTAMPTZ(3),
    "lock_token" BIGINT NOT NULL DEFAULT 0,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "secrets_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "sync"."seen_ids" (
    "connection_id" TEXT NOT NULL,
    "stream" TEXT NOT NULL,
    "pass" TEXT NOT NULL,
    "list" TEXT NOT NULL,
    "id" TEXT NOT NULL,

    CONSTRAINT "seen_ids_pkey" PRIMARY KEY ("connection_id","stream","pass","id","list")
);

-- CreateIndex
CREATE INDEX "projects_connection_id_created_at_idx" ON "tilkee"."projects"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "projects_connection_id_updated_at_idx" ON "tilkee"."projects"("connection_id", "updated_at");

-- CreateIndex
CREATE INDEX "projects_connection_id_external_id_idx" ON "tilkee"."projects"("connection_id", "external_id");

-- CreateIndex
CREATE INDEX "projects_connection_id_owner_id_idx" ON "tilkee"."projects"("connection_id", "owner_id");

-- CreateIndex
CREATE INDEX "items_connection_id_created_at_idx" ON "tilkee"."items"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "items_connection_id_updated_at_idx" ON "tilkee"."items"("connection_id", "updated_at");

-- CreateIndex
CREATE INDEX "items_connection_id_external_id_idx" ON "tilkee"."items"("connection_id", "external_id");

-- CreateIndex
CREATE INDEX "tokens_connection_id_created_at_idx" ON "tilkee"."tokens"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "tokens_connection_id_project_id_idx" ON "tilkee"."tokens"("connection_id", "project_id");

-- CreateIndex
CREATE INDEX "tokens_connection_id_external_id_idx" ON "tilkee"."tokens"("connection_id", "external_id");

-- CreateIndex
CREATE INDEX "connexions_connection_id_created_at_idx" ON "tilkee"."connexions"("connection_id", "created_at");

-- CreateIndex
CREATE INDEX "connexions_connection_id_token_id_idx" ON "tilkee"."connexions"("connection_id", "token_id");

-- CreateIndex
CREATE INDEX "connexions_connection_id_project_id_idx" ON "tilkee"."connexions"("connection_id", "project_id");

-- As before, and the notice of the stream as its last column.
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
  f.notice
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
    s.notice,
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

COMMENT ON COLUMN "sync"."status"."notice" IS 'What people should know about how this stream is read; null: nothing out of the ordinary';

COMMENT ON COLUMN "sync"."streams"."notice" IS 'What people should know about how this stream is read; null: nothing out of the ordinary';

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
COMMENT ON COLUMN "tilkee"."projects"."deleted_at" IS 'Null: alive. Otherwise when a full walk no longer met it (UTC)';
COMMENT ON COLUMN "tilkee"."projects"."run_id" IS 'Run that wrote this version: sync.runs.id';

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
COMMENT ON COLUMN "tilkee"."items"."deleted_at" IS 'Null: alive. Otherwise when a full walk no longer met it (UTC)';
COMMENT ON COLUMN "tilkee"."items"."run_id" IS 'Run that wrote this version: sync.runs.id';

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
COMMENT ON COLUMN "tilkee"."tokens"."deleted_at" IS 'Null: alive. Otherwise when a full walk no longer met it (UTC)';
COMMENT ON COLUMN "tilkee"."tokens"."run_id" IS 'Run that wrote this version: sync.runs.id';

COMMENT ON TABLE "tilkee"."connexions" IS 'Reading visits of a Tilkee account: one visit through one link.';
COMMENT ON COLUMN "tilkee"."connexions"."connection_id" IS 'Configured account: tilkee:default';
COMMENT ON COLUMN "tilkee"."connexions"."id" IS 'Upstream id';
COMMENT ON COLUMN "tilkee"."connexions"."title" IS 'Name of the link';
COMMENT ON COLUMN "tilkee"."connexions"."token_id" IS 'tilkee.tokens.id, as the visit or the request for it told; null while neither did';
COMMENT ON COLUMN "tilkee"."connexions"."project_id" IS 'tilkee.projects.id, as the visit or the request for it told; null while neither did';
COMMENT ON COLUMN "tilkee"."connexions"."access_date" IS 'The visit began (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."created_at" IS 'Created upstream (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."updated_at" IS 'Last change upstream (UTC); no known server sends one';
COMMENT ON COLUMN "tilkee"."connexions"."total_time" IS 'Length of the visit, milliseconds; grows until it ends';
COMMENT ON COLUMN "tilkee"."connexions"."percentage_read" IS 'Share read, 0 to 100';
COMMENT ON COLUMN "tilkee"."connexions"."downloaded" IS 'Something was downloaded';
COMMENT ON COLUMN "tilkee"."connexions"."signed" IS 'Something was signed';
COMMENT ON COLUMN "tilkee"."connexions"."new_person" IS 'Upstream takes the visitor for somebody new';
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
COMMENT ON COLUMN "tilkee"."connexions"."deleted_at" IS 'Null: alive. Otherwise when a full walk no longer met it (UTC)';
COMMENT ON COLUMN "tilkee"."connexions"."run_id" IS 'Run that wrote this version: sync.runs.id';

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
COMMENT ON COLUMN "tilkee"."users"."deleted_at" IS 'Null: alive. Upstream''s own deleted_at, or the time when a full walk no longer met it';
COMMENT ON COLUMN "tilkee"."users"."run_id" IS 'Run that wrote this version: sync.runs.id';

COMMENT ON TABLE "sync"."secrets" IS 'What an upstream hands out and must not be lost (refresh tokens), shared by all processes, and the lock under which it is renewed.';
COMMENT ON COLUMN "sync"."secrets"."name" IS 'Whose secret: server and a digest of the account''s name';
COMMENT ON COLUMN "sync"."secrets"."payload" IS 'Encrypted with LEADMIRROR_SECRET_KEY; null: nothing kept';
COMMENT ON COLUMN "sync"."secrets"."locked_until" IS 'The renewer''s time is up then, by this database''s clock; null when free';
COMMENT ON COLUMN "sync"."secrets"."lock_token" IS 'Grows with every taker; a secret is only written with the current one';
COMMENT ON COLUMN "sync"."secrets"."updated_at" IS 'Last time this row was written (UTC)';

COMMENT ON TABLE "sync"."seen_ids" IS 'Ids that the full walk under way of an unsorted list has met.';
COMMENT ON COLUMN "sync"."seen_ids"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."seen_ids"."stream" IS 'Source and kind: tilkee.tokens';
COMMENT ON COLUMN "sync"."seen_ids"."pass" IS 'backfill or reconcile';
COMMENT ON COLUMN "sync"."seen_ids"."list" IS 'The list inside the stream';
COMMENT ON COLUMN "sync"."seen_ids"."id" IS 'Upstream id';
