-- Who did what, where a server notes it.
CREATE TABLE "tiledesk"."activities" (
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
CREATE INDEX "activities_connection_id_created_at_idx" ON "tiledesk"."activities"("connection_id", "created_at");
CREATE INDEX "activities_connection_id_conversation_id_idx" ON "tiledesk"."activities"("connection_id", "conversation_id");
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
