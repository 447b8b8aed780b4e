-- Reporting: narrow precomputed tables, the function that keeps them current, and views for people.
--
-- Nothing here is read or written while a page is written. What changed is found by "synced_at", which every writer of a mirrored row moves; one
-- narrow index each makes that a look at the newest entries (that of the requests came with the streams that follow them).

-- CreateIndex
CREATE INDEX "leads_synced_at_idx" ON "tiledesk"."leads"("synced_at");

-- CreateIndex
CREATE INDEX "projects_synced_at_idx" ON "tilkee"."projects"("synced_at");

-- CreateIndex
CREATE INDEX "tokens_synced_at_idx" ON "tilkee"."tokens"("synced_at");

-- CreateIndex
CREATE INDEX "connexions_synced_at_idx" ON "tilkee"."connexions"("synced_at");

CREATE SCHEMA IF NOT EXISTS "reporting";
COMMENT ON SCHEMA "reporting" IS 'Views for people, and the precomputed tables that they read; see docs/sql.md';

-- Settings and book-keeping ------------------------------------------------------------------------------------------------------------------

CREATE TABLE "reporting"."settings" (
  "connection_id" text PRIMARY KEY,
  -- Any clock reading will do: a name that Postgres does not know is refused here, not by the next refresh.
  "time_zone" text NOT NULL CHECK ((timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE "time_zone") IS NOT NULL)
);
COMMENT ON TABLE "reporting"."settings" IS 'Time zone of each account: where its days, weekdays and hours begin. A change is worked in by the next refresh';
COMMENT ON COLUMN "reporting"."settings"."connection_id" IS 'Configured account; * holds for all that are not named';
COMMENT ON COLUMN "reporting"."settings"."time_zone" IS 'Name as in pg_timezone_names: Europe/Rome';
INSERT INTO "reporting"."settings" VALUES ('*', 'UTC');

CREATE TABLE "reporting"."applied_zones" (
  "connection_id" text PRIMARY KEY,
  "time_zone" text NOT NULL
);
COMMENT ON TABLE "reporting"."applied_zones" IS 'The settings that the precomputed tables were computed with';
COMMENT ON COLUMN "reporting"."applied_zones"."connection_id" IS 'As in settings';
COMMENT ON COLUMN "reporting"."applied_zones"."time_zone" IS 'As in settings';

CREATE TABLE "reporting"."refreshes" (
  "id" integer PRIMARY KEY CHECK ("id" = 1),
  "read_from" timestamptz NOT NULL,
  "refreshed_at" timestamptz,
  "rebuilt_at" timestamptz,
  "took_ms" bigint
);
COMMENT ON TABLE "reporting"."refreshes" IS 'One row: the last refresh of the precomputed tables';
COMMENT ON COLUMN "reporting"."refreshes"."id" IS 'Always 1';
COMMENT ON COLUMN "reporting"."refreshes"."read_from" IS 'The next refresh reads rows written since then (UTC): before the beginning of every transaction that the last one could not see';
COMMENT ON COLUMN "reporting"."refreshes"."refreshed_at" IS 'Began (UTC): whatever the mirror held then is in the precomputed tables; null: never';
COMMENT ON COLUMN "reporting"."refreshes"."rebuilt_at" IS 'Last time that all rows were read (UTC)';
COMMENT ON COLUMN "reporting"."refreshes"."took_ms" IS 'Duration, milliseconds';
INSERT INTO "reporting"."refreshes" VALUES (1, '-infinity');

CREATE TABLE "reporting"."sources" (
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

CREATE UNLOGGED TABLE "reporting"."touched" (
  "kind" text NOT NULL,
  "connection_id" text NOT NULL,
  "value" text NOT NULL
);
CREATE INDEX "touched_kind_idx" ON "reporting"."touched" ("kind");
COMMENT ON TABLE "reporting"."touched" IS 'Notes of the refresh under way: what has to be computed anew. Empty between two refreshes';
COMMENT ON COLUMN "reporting"."touched"."kind" IS 'month, chat, visit, lead, link, external, phone, project or person';
COMMENT ON COLUMN "reporting"."touched"."connection_id" IS 'Configured account; empty where it does not matter';
COMMENT ON COLUMN "reporting"."touched"."value" IS 'Month, id, number or key';

-- Precomputed tables -------------------------------------------------------------------------------------------------------------------------

CREATE TABLE "reporting"."names" (
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

CREATE TABLE "reporting"."request_facts" (
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
  PRIMARY KEY ("connection_id", "id")
);
CREATE INDEX "request_facts_opened_on_idx" ON "reporting"."request_facts" ("connection_id", "opened_on");
CREATE INDEX "request_facts_lead_id_idx" ON "reporting"."request_facts" ("connection_id", "lead_id");
CREATE INDEX "request_facts_open_idx" ON "reporting"."request_facts" ("connection_id", "department_id") WHERE "is_open";
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

CREATE TABLE "reporting"."request_days" (
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

CREATE TABLE "reporting"."agent_days" (
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

CREATE TABLE "reporting"."response_stats" (
  "connection_id" text NOT NULL,
  "month" date,
  "dimension" text NOT NULL,
  "key" text NOT NULL,
  "requests" bigint NOT NULL,
  "answered" bigint NOT NULL,
  "first_response_ms" double precision[],
  "resolved" bigint NOT NULL,
  "resolution_ms" double precision[]
);
CREATE INDEX "response_stats_month_idx" ON "reporting"."response_stats" ("connection_id", "month");
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

CREATE TABLE "reporting"."response_histories" (
  "connection_id" text PRIMARY KEY,
  "is_outdated" boolean NOT NULL,
  "computed_at" timestamptz,
  "as_of" timestamptz,
  "took_ms" bigint
);
COMMENT ON TABLE "reporting"."response_histories" IS 'When the percentiles over the whole history were computed: again after a change, and no more than a fiftieth of the time';
COMMENT ON COLUMN "reporting"."response_histories"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."response_histories"."is_outdated" IS 'Requests changed since';
COMMENT ON COLUMN "reporting"."response_histories"."computed_at" IS 'Computed (UTC)';
COMMENT ON COLUMN "reporting"."response_histories"."as_of" IS 'How fresh the requests were (UTC)';
COMMENT ON COLUMN "reporting"."response_histories"."took_ms" IS 'Duration, milliseconds';

CREATE TABLE "reporting"."lead_facts" (
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
  PRIMARY KEY ("connection_id", "id")
);
CREATE INDEX "lead_facts_id_idx" ON "reporting"."lead_facts" ("id");
CREATE INDEX "lead_facts_external_id_idx" ON "reporting"."lead_facts" (md5("external_id"));
CREATE INDEX "lead_facts_phone_key_idx" ON "reporting"."lead_facts" ("phone_key");
CREATE INDEX "lead_facts_person_key_idx" ON "reporting"."lead_facts" (md5("person_key"));
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

CREATE TABLE "reporting"."visit_facts" (
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
CREATE INDEX "visit_facts_link_id_idx" ON "reporting"."visit_facts" ("connection_id", "link_id");
CREATE INDEX "visit_facts_visited_on_idx" ON "reporting"."visit_facts" ("connection_id", "visited_on");
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

CREATE TABLE "reporting"."link_facts" (
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
CREATE INDEX "link_facts_project_id_idx" ON "reporting"."link_facts" ("connection_id", "project_id");
CREATE INDEX "link_facts_external_id_idx" ON "reporting"."link_facts" (md5("external_id"));
CREATE INDEX "link_facts_phone_key_idx" ON "reporting"."link_facts" ("phone_key");
CREATE INDEX "link_facts_person_key_idx" ON "reporting"."link_facts" (md5("person_key"));
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
COMMENT ON COLUMN "reporting"."link_facts"."is_consulted" IS 'Was opened, as upstream says';
COMMENT ON COLUMN "reporting"."link_facts"."is_signed" IS 'Was signed, as upstream says';
COMMENT ON COLUMN "reporting"."link_facts"."is_downloaded" IS 'Was downloaded, as upstream says';
COMMENT ON COLUMN "reporting"."link_facts"."interest" IS 'Interest score, as upstream';
COMMENT ON COLUMN "reporting"."link_facts"."first_access_at" IS 'First visit, as the link says (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."last_access_at" IS 'Last visit, as the link says (UTC)';
COMMENT ON COLUMN "reporting"."link_facts"."total_time_ms" IS 'Time spent reading, as the link says, milliseconds';
COMMENT ON COLUMN "reporting"."link_facts"."access_count" IS 'Visits, as the link says';
COMMENT ON COLUMN "reporting"."link_facts"."percent_read" IS 'Share read, as the link says, 0 to 100';
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

CREATE TABLE "reporting"."people" (
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
  "outcome" text
);
-- By digest: an index entry has an upper limit, and ids have none. An address in email has at most 1,000 characters.
CREATE UNIQUE INDEX "people_person_key_idx" ON "reporting"."people" (md5("person_key"));
CREATE INDEX "people_email_idx" ON "reporting"."people" ("email");
COMMENT ON TABLE "reporting"."people" IS 'One row per person; read by lead_360, which explains the columns';
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

-- Keeping them current -----------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION "reporting"."email_of"(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT substring(lower(left(given, 1000)) FROM '[a-z0-9._%+''-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+')
$$;
COMMENT ON FUNCTION "reporting"."email_of"(text) IS 'The first e-mail address in a text, in lower case; null: there is none';

CREATE FUNCTION "reporting"."phone_of"(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN digits ~ '^[0-9]{7,15}$' AND digits !~ '^(.)\1*$' THEN digits END
  FROM (SELECT regexp_replace(regexp_replace(left(given, 100), '[^0-9]', '', 'g'), '^00', '') AS digits) d
$$;
COMMENT ON FUNCTION "reporting"."phone_of"(text) IS 'The digits of a phone number, 00 or + in front left out; null: not 7 to 15 digits, or one digit repeated';

-- The moment before which nothing can still be written. A row is stamped with the beginning of its transaction, and transactions do not commit in the
-- order of their beginnings: the next refresh has to read from the oldest one that is under way now. Of a session that may write and whose beginning
-- this role may not see, an hour is assumed; a clock that was set back is allowed a minute.
CREATE FUNCTION "reporting"."write_horizon"() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT least(clock_timestamp(), min(a.xact_start),
      min(clock_timestamp() - interval '1 hour') FILTER (WHERE a.state IS NULL AND a.xact_start IS NULL
        AND has_table_privilege(a.usesysid, 'tiledesk.requests', 'INSERT, UPDATE')))
    - interval '1 minute'
  FROM pg_stat_activity a
  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'
$$;
COMMENT ON FUNCTION "reporting"."write_horizon"() IS 'Every row that a transaction not yet visible has written, or will write, is stamped later than this';

-- What rows are read: those written since a moment ($1), those of one account ($2), or all of them.
CREATE FUNCTION "reporting"."scope_of"(only_connection text, is_full boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN is_full THEN '($1 is null or true) and ($2 is null or true)' WHEN only_connection IS NOT NULL THEN '($1 is null or true) and r.connection_id = $2'
    ELSE '($2 is null or true) and r.synced_at >= $1' END
$$;
COMMENT ON FUNCTION "reporting"."scope_of"(text, boolean) IS 'The condition on mirrored rows with which a part of the refresh reads them';

CREATE FUNCTION "reporting"."refresh_names"(since timestamptz) RETURNS void LANGUAGE plpgsql AS $$
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

-- One statement, one snapshot: the new facts, and what they change in the sums by day. A row that is read a second time adds nothing.
CREATE FUNCTION "reporting"."refresh_requests"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  day_sums CONSTANT text := $sql$
    SELECT v.connection_id, m.day, coalesce(v.channel, ''), coalesce(v.department_id, ''), sum(v.sign * m.opened), sum(v.sign * m.closed),
      sum(v.sign * m.abandoned), sum(v.sign * m.rated), sum(v.sign * m.satisfied), sum(v.sign * m.rating)
    FROM versions v CROSS JOIN LATERAL (
      SELECT v.opened_on AS day, 1 AS opened, 0 AS closed, (v.status IS NOT DISTINCT FROM 150)::int AS abandoned, (v.rating IS NOT NULL)::int AS rated,
        coalesce((v.rating >= 4)::int, 0) AS satisfied, coalesce(v.rating, 0) AS rating WHERE v.opened_on IS NOT NULL
      UNION ALL
      SELECT v.closed_on, 0, 1, 0, 0, 0, 0 WHERE v.closed_on IS NOT NULL
    ) m
    WHERE v.is_counted GROUP BY 1, 2, 3, 4
    HAVING ROW(sum(v.sign * m.opened), sum(v.sign * m.closed), sum(v.sign * m.abandoned), sum(v.sign * m.rated), sum(v.sign * m.satisfied),
      sum(v.sign * m.rating)) <> ROW(0, 0, 0, 0, 0, 0) $sql$;
  agent_sums CONSTANT text := $sql$
    SELECT v.connection_id, m.day, m.agent_id, sum(v.sign * m.requests), sum(v.sign * m.answered), sum(v.sign * m.closed), sum(v.sign * m.rated),
      sum(v.sign * m.rating)
    FROM versions v CROSS JOIN LATERAL (
      SELECT v.opened_on AS day, a.agent_id, 1 AS requests, v.is_answered::int AS answered, 0 AS closed, (v.rating IS NOT NULL)::int AS rated,
        coalesce(v.rating, 0) AS rating FROM unnest(v.agent_ids) AS a(agent_id) WHERE v.opened_on IS NOT NULL
      UNION ALL
      SELECT v.closed_on, v.closer_id, 0, 0, 1, 0, 0 WHERE v.closed_on IS NOT NULL AND v.closer_id IS NOT NULL
    ) m
    WHERE v.is_counted GROUP BY 1, 2, 3
    HAVING ROW(sum(v.sign * m.requests), sum(v.sign * m.answered), sum(v.sign * m.closed), sum(v.sign * m.rated), sum(v.sign * m.rating))
      <> ROW(0, 0, 0, 0, 0) $sql$;
BEGIN
  IF is_full THEN
    DELETE FROM reporting.request_facts f
    WHERE NOT EXISTS (SELECT FROM tiledesk.requests r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
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
        CASE WHEN r.status = 1000 AND r.closed_by <> 'system' AND r.closed_by !~ '^(_|bot_)'
          AND (r.closed_by = ANY (r.participants_bots)) IS NOT TRUE THEN left(r.closed_by, 200) END AS closer_id,
        CASE WHEN cardinality(r.participants_agents) > 1 THEN ARRAY(SELECT DISTINCT left(a, 200) FROM unnest(r.participants_agents) a ORDER BY 1)
          ELSE coalesce(r.participants_agents, '{}') END AS agent_ids
      FROM tiledesk.requests r
      LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
      CROSS JOIN LATERAL (SELECT coalesce(s.time_zone, $3) AS zone) z
      CROSS JOIN LATERAL (SELECT r.deleted_at IS NULL AND r.draft IS NOT TRUE AND r.preflight IS NOT TRUE
        AND r.status IS DISTINCT FROM 50 AS is_counted) c
      CROSS JOIN LATERAL (SELECT
        coalesce((extract(epoch FROM r.first_response_at - r.created_at) * 1000)::bigint, r.waiting_time_ms) AS first_response_ms,
        coalesce((extract(epoch FROM r.closed_at - r.created_at) * 1000)::bigint, r.duration_ms) AS resolution_ms) d
      WHERE %s
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
      department_id = excluded.department_id, lead_id = excluded.lead_id, closer_id = excluded.closer_id, agent_ids = excluded.agent_ids
  $sql$, reporting.scope_of(only_connection, is_full), day_sums, agent_sums) USING since, only_connection, default_zone, is_full;
  IF NOT is_full THEN RETURN; END IF;
  ANALYZE reporting.request_facts;
  DELETE FROM reporting.request_days;
  EXECUTE 'INSERT INTO reporting.request_days WITH versions AS NOT MATERIALIZED (SELECT 1 AS sign, f.* FROM reporting.request_facts f)' || day_sums;
  DELETE FROM reporting.agent_days;
  EXECUTE 'INSERT INTO reporting.agent_days WITH versions AS NOT MATERIALIZED (SELECT 1 AS sign, f.* FROM reporting.request_facts f)' || agent_sums;
  DELETE FROM reporting.response_stats;
  INSERT INTO reporting.touched
  SELECT DISTINCT 'month', connection_id, date_trunc('month', opened_on)::date::text FROM reporting.request_facts WHERE is_counted AND opened_on IS NOT NULL;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_requests"(timestamptz, text, boolean, text) IS 'Part of the refresh: request_facts, request_days, agent_days';

CREATE FUNCTION "reporting"."refresh_leads"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF is_full THEN
    DELETE FROM reporting.lead_facts f WHERE NOT EXISTS (SELECT FROM tiledesk.leads r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
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
    ), changed AS MATERIALIZED (
      SELECT n.*, f.external_id AS old_external_id, f.phone_key AS old_phone_key, f.person_key AS old_person_key
      FROM incoming n LEFT JOIN reporting.lead_facts f ON f.connection_id = n.connection_id AND f.id = n.id
      WHERE f.id IS NULL OR ROW(f.is_counted, f.created_on, f.created_at, f.external_id, f.email_key, f.phone_key, f.name, f.phone, f.company)
        IS DISTINCT FROM ROW(n.is_counted, n.created_on, n.created_at, n.external_id, n.email_key, n.phone_key, n.name, n.phone, n.company)
    ), noted AS (
      INSERT INTO reporting.touched SELECT m.* FROM changed c CROSS JOIN LATERAL (VALUES ('lead', c.connection_id, c.id), ('chat', c.connection_id, c.id),
        ('external', '', c.id), ('external', '', c.external_id), ('external', '', c.old_external_id), ('phone', '', c.phone_key),
        ('phone', '', c.old_phone_key), ('person', '', c.old_person_key)) AS m(kind, connection_id, value)
      WHERE m.value IS NOT NULL AND NOT $4
    )
    INSERT INTO reporting.lead_facts (connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company)
    SELECT connection_id, id, is_counted, created_on, created_at, external_id, email_key, phone_key, name, phone, company FROM changed
    ON CONFLICT (connection_id, id) DO UPDATE SET is_counted = excluded.is_counted, created_on = excluded.created_on, created_at = excluded.created_at,
      external_id = excluded.external_id, email_key = excluded.email_key, phone_key = excluded.phone_key, name = excluded.name,
      phone = excluded.phone, company = excluded.company
  $sql$, reporting.scope_of(only_connection, is_full)) USING since, only_connection, default_zone, is_full;
  IF is_full THEN ANALYZE reporting.lead_facts; END IF;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_leads"(timestamptz, text, boolean, text) IS 'Part of the refresh: lead_facts, but for what follows from other tables';

CREATE FUNCTION "reporting"."refresh_chats"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
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

-- Times beyond any life are cut, so that no sum of them is too large to be stored.
CREATE FUNCTION "reporting"."refresh_links"(since timestamptz, only_connection text, is_full boolean, default_zone text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF is_full THEN
    DELETE FROM reporting.visit_facts f WHERE NOT EXISTS (SELECT FROM tilkee.connexions r WHERE r.connection_id = f.connection_id AND r.id = f.id);
    DELETE FROM reporting.link_facts f WHERE NOT EXISTS (SELECT FROM tilkee.tokens r WHERE r.connection_id = f.connection_id AND r.id = f.id);
  END IF;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
      SELECT r.connection_id, r.id, r.token_id AS link_id, r.deleted_at IS NULL AS is_counted, coalesce(r.access_date, r.created_at) AS visited_at,
        (coalesce(r.access_date, r.created_at) AT TIME ZONE coalesce(s.time_zone, $3))::date AS visited_on, least(r.total_time, 1e15::bigint) AS time_read_ms,
        r.percentage_read AS percent_read, r.signed IS TRUE AS is_signed
      FROM tilkee.connexions r LEFT JOIN reporting.settings s ON s.connection_id = r.connection_id
      WHERE %s
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
  $sql$, reporting.scope_of(only_connection, is_full)) USING since, only_connection, default_zone, is_full;
  EXECUTE format($sql$
    WITH incoming AS MATERIALIZED (
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
      WHERE %s
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
  $sql$, reporting.scope_of(only_connection, is_full)) USING since, only_connection, default_zone, is_full;
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

-- Who is who. A lead goes by its e-mail address; one without by its phone number, which leads to an address when exactly one address has it; else it stands
-- for itself. A link goes to the lead that its external id names (its id or lead_id; the newest of several), else by e-mail address, else by phone number.
CREATE FUNCTION "reporting"."refresh_people"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  WITH wanted AS MATERIALIZED (
    SELECT l.connection_id, l.id, l.is_counted, l.external_id, l.email_key, l.phone_key, l.person_key, l.matched_by FROM reporting.lead_facts l
    WHERE is_full
    UNION
    SELECT l.connection_id, l.id, l.is_counted, l.external_id, l.email_key, l.phone_key, l.person_key, l.matched_by FROM reporting.lead_facts l
    JOIN reporting.touched t ON t.kind = 'lead' AND l.connection_id = t.connection_id AND l.id = t.value WHERE NOT is_full
    UNION
    SELECT l.connection_id, l.id, l.is_counted, l.external_id, l.email_key, l.phone_key, l.person_key, l.matched_by FROM reporting.lead_facts l
    JOIN reporting.touched t ON t.kind = 'phone' AND l.phone_key = t.value WHERE NOT is_full AND l.email_key IS NULL
  ), addresses AS MATERIALIZED (
    SELECT e.phone_key, CASE WHEN min(e.email_key) = max(e.email_key) THEN min(e.email_key) END AS email_key
    FROM (SELECT DISTINCT phone_key FROM wanted WHERE email_key IS NULL AND phone_key IS NOT NULL) w
    JOIN reporting.lead_facts e ON e.phone_key = w.phone_key AND e.is_counted AND e.email_key IS NOT NULL
    GROUP BY 1
  ), decided AS (
    SELECT w.*,
      CASE WHEN NOT w.is_counted THEN NULL
        WHEN w.email_key IS NOT NULL THEN 'email:' || w.email_key
        WHEN w.phone_key IS NOT NULL THEN coalesce('email:' || a.email_key, 'phone:' || w.phone_key)
        ELSE 'lead:' || w.connection_id || ':' || w.id END AS new_key,
      CASE WHEN NOT w.is_counted THEN NULL WHEN w.email_key IS NOT NULL THEN 'email' WHEN w.phone_key IS NOT NULL THEN 'phone' END AS new_rule
    FROM wanted w LEFT JOIN addresses a ON a.phone_key = w.phone_key
  ), noted AS (
    INSERT INTO reporting.touched SELECT m.* FROM decided d CROSS JOIN LATERAL (VALUES ('person', d.new_key), ('person', d.person_key),
      ('external', CASE WHEN d.new_key IS DISTINCT FROM d.person_key THEN d.id END),
      ('external', CASE WHEN d.new_key IS DISTINCT FROM d.person_key THEN d.external_id END)) AS n(kind, value)
    CROSS JOIN LATERAL (SELECT n.kind, '', n.value) m WHERE n.value IS NOT NULL AND NOT is_full
  )
  UPDATE reporting.lead_facts l SET person_key = d.new_key, matched_by = d.new_rule FROM decided d
  WHERE l.connection_id = d.connection_id AND l.id = d.id AND ROW(l.person_key, l.matched_by) IS DISTINCT FROM ROW(d.new_key, d.new_rule);

  WITH wanted AS MATERIALIZED (
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k WHERE is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'link' AND k.connection_id = t.connection_id AND k.id = t.value WHERE NOT is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'external' AND md5(k.external_id) = md5(t.value) WHERE NOT is_full
    UNION
    SELECT k.connection_id, k.id, k.is_counted, k.external_id, k.email_key, k.phone_key, k.person_key FROM reporting.link_facts k
    JOIN reporting.touched t ON t.kind = 'phone' AND k.phone_key = t.value WHERE NOT is_full
  ), named AS MATERIALIZED (
    SELECT DISTINCT ON (external_id) external_id, person_key FROM (
      SELECT w.external_id, l.person_key, l.created_at, l.connection_id, l.id FROM (SELECT DISTINCT external_id FROM wanted) w
      JOIN reporting.lead_facts l ON l.id = w.external_id WHERE l.is_counted
      UNION ALL
      SELECT w.external_id, l.person_key, l.created_at, l.connection_id, l.id FROM (SELECT DISTINCT external_id FROM wanted) w
      JOIN reporting.lead_facts l ON md5(l.external_id) = md5(w.external_id) WHERE l.is_counted
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

  IF is_full THEN
    INSERT INTO reporting.touched SELECT 'person', '', person_key FROM reporting.lead_facts WHERE person_key IS NOT NULL
    UNION SELECT 'person', '', person_key FROM reporting.link_facts WHERE person_key IS NOT NULL
    UNION SELECT 'person', '', person_key FROM reporting.people;
    -- The keys are new: without knowing them, the planner takes each for rare and compares all with all.
    ANALYZE reporting.touched;
    ANALYZE reporting.lead_facts;
    ANALYZE reporting.link_facts;
  END IF;

  WITH keys AS MATERIALIZED (
    SELECT DISTINCT value AS person_key, md5(value) AS digest FROM reporting.touched WHERE kind = 'person'
  ), l AS MATERIALIZED (
    SELECT k.person_key, count(*) AS leads, array_agg(f.id ORDER BY f.created_at, f.id) AS lead_ids,
      (array_agg(f.name ORDER BY f.created_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.name IS NOT NULL))[1] AS name,
      (array_agg(f.email_key ORDER BY f.created_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.email_key IS NOT NULL))[1] AS email,
      (array_agg(f.phone ORDER BY f.created_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.phone_key IS NOT NULL))[1] AS phone,
      (array_agg(f.company ORDER BY f.created_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.company IS NOT NULL))[1] AS company,
      min(f.created_at) AS first_seen_at, sum(f.requests)::bigint AS requests, sum(f.open_requests)::bigint AS open_requests,
      max(f.last_chat_at) AS last_chat_at, count(*) FILTER (WHERE f.matched_by = 'email') AS by_email,
      count(*) FILTER (WHERE f.matched_by = 'phone') AS by_phone
    FROM keys k JOIN reporting.lead_facts f ON md5(f.person_key) = k.digest WHERE f.is_counted GROUP BY 1
  ), t AS MATERIALIZED (
    SELECT k.person_key, count(*) AS links, array_agg(f.id ORDER BY f.sent_at, f.id) AS link_ids,
      (array_agg(f.name ORDER BY f.sent_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.name IS NOT NULL))[1] AS name,
      (array_agg(f.email_key ORDER BY f.sent_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.email_key IS NOT NULL))[1] AS email,
      (array_agg(f.phone_key ORDER BY f.sent_at DESC NULLS LAST, f.id DESC) FILTER (WHERE f.phone_key IS NOT NULL))[1] AS phone,
      min(f.sent_at) AS first_seen_at, sum(greatest(f.access_count, f.visits, 0))::bigint AS visits,
      max(greatest(f.last_access_at, f.last_visit_at)) AS last_visit_at, sum(greatest(f.total_time_ms, f.visits_time_ms, 0))::bigint AS time_read_ms,
      max(greatest(f.percent_read, f.visits_percent)) AS percent_read, max(f.interest) AS interest,
      bool_or(f.is_signed OR f.is_signed_in_visit) AS is_signed,
      bool_or(CASE WHEN f.won IN ('won', 'lost') THEN f.won ELSE p.verdict END = 'won') AS is_won,
      bool_or(CASE WHEN f.won IN ('won', 'lost') THEN f.won ELSE p.verdict END = 'lost') AS is_lost,
      array_agg(DISTINCT f.matched_by) FILTER (WHERE f.matched_by IS NOT NULL) AS rules
    FROM keys k JOIN reporting.link_facts f ON md5(f.person_key) = k.digest
    LEFT JOIN reporting.names p ON p.kind = 'project' AND p.connection_id = f.connection_id AND p.id = f.project_id
    WHERE f.is_counted GROUP BY 1
  ), known AS MATERIALIZED (
    SELECT coalesce(l.person_key, t.person_key) AS person_key, coalesce(l.name, t.name) AS name, coalesce(l.email, t.email) AS email,
      coalesce(l.phone, '+' || t.phone) AS phone, l.company,
      CASE WHEN coalesce(l.leads, 0) + coalesce(t.links, 0) > 1 THEN nullif(ARRAY(
        SELECT unnest(t.rules) UNION SELECT 'email' WHERE l.by_email > 1 UNION SELECT 'phone' WHERE l.leads > 1 AND l.by_phone > 0 ORDER BY 1), '{}')
      END AS matched_by,
      coalesce(l.leads, 0) AS leads, coalesce(t.links, 0) AS links, coalesce(l.lead_ids, '{}') AS lead_ids, coalesce(t.link_ids, '{}') AS link_ids,
      least(l.first_seen_at, t.first_seen_at) AS first_seen_at, coalesce(l.requests, 0) AS requests, coalesce(l.open_requests, 0) AS open_requests,
      l.last_chat_at, coalesce(t.visits, 0) AS visits, t.last_visit_at, coalesce(t.time_read_ms, 0) AS time_read_ms, t.percent_read, t.interest,
      CASE WHEN t.is_signed THEN 'signed' WHEN t.is_won THEN 'won' WHEN t.is_lost THEN 'lost' END AS outcome
    FROM l FULL JOIN t ON t.person_key = l.person_key
  ), gone AS (
    DELETE FROM reporting.people p USING keys k
    WHERE md5(p.person_key) = k.digest AND NOT EXISTS (SELECT FROM known n WHERE n.person_key = k.person_key)
  ), changed AS (
    SELECT n.* FROM known n LEFT JOIN reporting.people p ON md5(p.person_key) = md5(n.person_key)
    WHERE p.person_key IS NULL OR ROW(p.*) IS DISTINCT FROM ROW(n.*)
  )
  INSERT INTO reporting.people SELECT * FROM changed
  ON CONFLICT (md5(person_key)) DO UPDATE SET name = excluded.name, email = excluded.email, phone = excluded.phone, company = excluded.company,
    matched_by = excluded.matched_by, leads = excluded.leads, links = excluded.links, lead_ids = excluded.lead_ids, link_ids = excluded.link_ids,
    first_seen_at = excluded.first_seen_at, requests = excluded.requests, open_requests = excluded.open_requests, last_chat_at = excluded.last_chat_at,
    visits = excluded.visits, last_visit_at = excluded.last_visit_at, time_read_ms = excluded.time_read_ms, percent_read = excluded.percent_read,
    interest = excluded.interest, outcome = excluded.outcome;
END
$$;
COMMENT ON FUNCTION "reporting"."refresh_people"(boolean) IS 'Part of the refresh: who is the same person, and reporting.people';

-- One dimension after the other, and one month: what has to be sorted stays small, is sorted byte by byte, and found by an index.
CREATE FUNCTION "reporting"."add_response_stats"(account text, in_month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  dimension text[];
BEGIN
  FOREACH dimension SLICE 1 IN ARRAY ARRAY[
    ['all', $sql$''$sql$, ''],
    ['department', $sql$coalesce(f.department_id, '')$sql$, ''],
    ['agent', 'a.agent_id', 'CROSS JOIN LATERAL unnest(f.agent_ids) AS a(agent_id)'],
    ['weekday', 'extract(isodow FROM f.opened_on)::text', ''],
    ['hour', $sql$lpad(f.opened_hour::text, 2, '0')$sql$, '']
  ] LOOP
    EXECUTE format($sql$
      INSERT INTO reporting.response_stats
      SELECT $1, $2, %L, key, count(*), count(first_response_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY first_response_ms),
        count(resolution_ms), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolution_ms)
      FROM (
        SELECT (%s) COLLATE "C" AS key, f.first_response_ms, f.resolution_ms FROM reporting.request_facts f %s
        WHERE f.connection_id = $1 AND f.is_counted AND f.opened_on >= $3 AND f.opened_on < $4
      ) q
      GROUP BY key
    $sql$, dimension[1], dimension[2], dimension[3])
    USING account, in_month, coalesce(in_month, '-infinity'), coalesce((in_month + interval '1 month')::date, 'infinity');
  END LOOP;
END
$$;
COMMENT ON FUNCTION "reporting"."add_response_stats"(text, date) IS 'Part of the refresh: response_stats of one month, or of the whole history';

CREATE FUNCTION "reporting"."refresh_responses"(is_full boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  cell record;
  began timestamptz;
BEGIN
  FOR cell IN SELECT DISTINCT connection_id, value::date AS month FROM reporting.touched WHERE kind = 'month' LOOP
    DELETE FROM reporting.response_stats WHERE connection_id = cell.connection_id AND month = cell.month;
    PERFORM reporting.add_response_stats(cell.connection_id, cell.month);
  END LOOP;
  INSERT INTO reporting.response_histories (connection_id, is_outdated)
  SELECT DISTINCT connection_id, true FROM reporting.touched WHERE kind = 'month'
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

CREATE FUNCTION "reporting"."refresh"(min_gap_seconds double precision DEFAULT 0, is_full boolean DEFAULT false) RETURNS text LANGUAGE plpgsql
SET work_mem = '64MB' AS $$
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
    OR default_zone IS DISTINCT FROM (SELECT time_zone FROM reporting.applied_zones WHERE connection_id = '*');
  DELETE FROM reporting.touched;

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
  END LOOP;
  DELETE FROM reporting.applied_zones a WHERE NOT EXISTS (SELECT FROM reporting.settings s WHERE s.connection_id = a.connection_id);
  INSERT INTO reporting.applied_zones SELECT connection_id, time_zone FROM reporting.settings WHERE connection_id <> '*'
  UNION ALL SELECT '*', default_zone
  ON CONFLICT (connection_id) DO UPDATE SET time_zone = excluded.time_zone;

  PERFORM reporting.refresh_names(CASE WHEN is_full THEN '-infinity' ELSE last.read_from END);
  PERFORM reporting.refresh_requests(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_leads(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_chats(is_full);
  PERFORM reporting.refresh_links(last.read_from, NULL, is_full, default_zone);
  PERFORM reporting.refresh_people(is_full);
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

CREATE VIEW "reporting"."requests_daily" AS
SELECT d.connection_id, d.day, nullif(d.channel, '') AS channel, nullif(d.department_id, '') AS department_id, n.name AS department,
  d.opened, d.closed, d.abandoned, s.as_of
FROM "reporting"."request_days" d
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = d.connection_id AND n.id = d.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = d.connection_id AND s.stream = 'tiledesk.requests'
WHERE d.opened <> 0 OR d.closed <> 0;

CREATE VIEW "reporting"."csat" AS
SELECT d.connection_id, d.day, nullif(d.channel, '') AS channel, nullif(d.department_id, '') AS department_id, n.name AS department,
  d.opened, d.rated, d.satisfied, d.rating_sum, d.rating_sum / d.rated AS average_rating, 100.0 * d.satisfied / d.rated AS satisfied_percent, s.as_of
FROM "reporting"."request_days" d
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = d.connection_id AND n.id = d.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = d.connection_id AND s.stream = 'tiledesk.requests'
WHERE d.rated <> 0;

CREATE VIEW "reporting"."response_times" AS
SELECT r.connection_id, r.month, r.dimension, r.key,
  CASE r.dimension WHEN 'weekday' THEN (ARRAY['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[r.key::int]
    WHEN 'hour' THEN r.key || ':00' ELSE n.name END AS label,
  r.requests, r.answered, r.first_response_ms[1] / 1000 AS first_response_median_seconds, r.first_response_ms[2] / 1000 AS first_response_p90_seconds,
  r.resolved, r.resolution_ms[1] / 1000 AS resolution_median_seconds, r.resolution_ms[2] / 1000 AS resolution_p90_seconds,
  CASE WHEN r.month IS NULL AND h.is_outdated THEN h.as_of ELSE s.as_of END AS as_of
FROM "reporting"."response_stats" r
LEFT JOIN "reporting"."names" n ON n.kind = r.dimension AND n.connection_id = r.connection_id AND n.id = r.key
LEFT JOIN "reporting"."response_histories" h ON h.connection_id = r.connection_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = r.connection_id AND s.stream = 'tiledesk.requests';

CREATE VIEW "reporting"."agent_activity" AS
SELECT d.connection_id, d.day, d.agent_id, n.name AS agent, d.requests, d.answered, d.closed, d.rated, d.rating_sum,
  CASE WHEN d.rated <> 0 THEN d.rating_sum / d.rated END AS average_rating, s.as_of
FROM "reporting"."agent_days" d
LEFT JOIN "reporting"."names" n ON n.kind = 'agent' AND n.connection_id = d.connection_id AND n.id = d.agent_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = d.connection_id AND s.stream = 'tiledesk.requests'
WHERE d.requests <> 0 OR d.closed <> 0;

CREATE VIEW "reporting"."lead_funnel" AS
SELECT f.*, s.as_of FROM (
  SELECT connection_id, created_on AS day, count(*) AS leads, count(*) FILTER (WHERE requests > 0) AS with_request,
    count(*) FILTER (WHERE is_answered) AS answered, count(*) FILTER (WHERE is_closed) AS closed, count(*) FILTER (WHERE is_rated) AS rated
  FROM "reporting"."lead_facts" WHERE is_counted GROUP BY 1, 2
) f
LEFT JOIN (
  SELECT connection_id, CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of
  FROM "reporting"."sources" WHERE stream IN ('tiledesk.leads', 'tiledesk.requests') GROUP BY 1
) s ON s.connection_id = f.connection_id;

CREATE VIEW "reporting"."open_backlog" AS
SELECT b.connection_id, b.department_id, n.name AS department, b.channel, b.status, b.open, b.unanswered, b.oldest_opened_at,
  b.under_1_hour, b.under_1_day, b.under_7_days, b.older, s.as_of
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

CREATE VIEW "reporting"."requests" AS
SELECT f.connection_id, f.id, f.status, f.opened_at, f.opened_on, f.opened_hour, f.first_response_at, f.closed_at, f.closed_on, f.is_open, f.is_answered,
  f.first_response_ms / 1000.0::double precision AS first_response_seconds, f.resolution_ms / 1000.0::double precision AS resolution_seconds, f.rating, f.channel, f.department_id,
  n.name AS department, f.lead_id, f.agent_ids, f.closer_id, s.as_of
FROM "reporting"."request_facts" f
LEFT JOIN "reporting"."names" n ON n.kind = 'department' AND n.connection_id = f.connection_id AND n.id = f.department_id
LEFT JOIN "reporting"."sources" s ON s.connection_id = f.connection_id AND s.stream = 'tiledesk.requests'
WHERE f.is_counted;

CREATE VIEW "reporting"."link_engagement" AS
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

CREATE VIEW "reporting"."lead_360" AS
SELECT p.person_key, p.name, p.email, p.phone, p.company, p.matched_by, p.leads, p.links, p.lead_ids, p.link_ids, p.first_seen_at,
  p.requests, p.open_requests, p.last_chat_at, p.visits, p.last_visit_at, p.time_read_ms / 1000.0 AS time_read_seconds, p.percent_read, p.interest,
  p.outcome, s.as_of
FROM "reporting"."people" p
CROSS JOIN (
  SELECT CASE WHEN bool_and(as_of IS NOT NULL) THEN min(as_of) END AS as_of FROM "reporting"."sources"
  WHERE is_enabled AND stream IN ('tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens', 'tilkee.connexions', 'tilkee.projects')
) s;

CREATE VIEW "reporting"."freshness" AS
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

COMMENT ON VIEW "reporting"."requests_daily" IS 'Requests opened, closed and abandoned by day of the account''s time zone, channel and department. Deleted requests, drafts, preflight and temporary ones are left out; a reopened request counts as opened on its day and as closed on none until it is closed again. Reads request_days';
COMMENT ON COLUMN "reporting"."requests_daily"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."requests_daily"."day" IS 'Day in the time zone of the account: reporting.settings';
COMMENT ON COLUMN "reporting"."requests_daily"."channel" IS 'Channel name; null: none';
COMMENT ON COLUMN "reporting"."requests_daily"."department_id" IS 'tiledesk.departments.id; null: none';
COMMENT ON COLUMN "reporting"."requests_daily"."department" IS 'Its name';
COMMENT ON COLUMN "reporting"."requests_daily"."opened" IS 'Requests opened that day';
COMMENT ON COLUMN "reporting"."requests_daily"."closed" IS 'Requests closed that day, and closed now';
COMMENT ON COLUMN "reporting"."requests_daily"."abandoned" IS 'Of the opened: abandoned (150) now. Upstream does not say when that happened';
COMMENT ON COLUMN "reporting"."requests_daily"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';

COMMENT ON VIEW "reporting"."csat" IS 'Ratings by the day on which the request was opened, channel and department; days without a rating are left out. Which requests count: see requests_daily. Reads request_days';
COMMENT ON COLUMN "reporting"."csat"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."csat"."day" IS 'Day in the time zone of the account on which the request was opened; upstream does not say when it was rated';
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

COMMENT ON VIEW "reporting"."response_times" IS 'Median and 90th percentile of first response and resolution, by month of opening and over the whole history, along one dimension at a time. Which requests count: see requests_daily; a reopened request has no resolution. Reads response_stats: months with every refresh, the whole history no more than a fiftieth of the time, see as_of';
COMMENT ON COLUMN "reporting"."response_times"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."response_times"."month" IS 'First day of the month in which the requests were opened, in the time zone of the account; null: the whole history';
COMMENT ON COLUMN "reporting"."response_times"."dimension" IS 'all, department, agent, weekday or hour. A request with several agents counts for each';
COMMENT ON COLUMN "reporting"."response_times"."key" IS 'Id of the department or agent (user id), weekday of opening 1 (Monday) to 7, hour of opening 00 to 23; empty: none';
COMMENT ON COLUMN "reporting"."response_times"."label" IS 'The same for people';
COMMENT ON COLUMN "reporting"."response_times"."requests" IS 'Requests opened';
COMMENT ON COLUMN "reporting"."response_times"."answered" IS 'Of these: with a first response time';
COMMENT ON COLUMN "reporting"."response_times"."first_response_median_seconds" IS 'Median from opening to the first answer by an agent, seconds';
COMMENT ON COLUMN "reporting"."response_times"."first_response_p90_seconds" IS '90th percentile of the same';
COMMENT ON COLUMN "reporting"."response_times"."resolved" IS 'Of the requests: closed, with a resolution time';
COMMENT ON COLUMN "reporting"."response_times"."resolution_median_seconds" IS 'Median from opening to the last closing, seconds';
COMMENT ON COLUMN "reporting"."response_times"."resolution_p90_seconds" IS '90th percentile of the same';
COMMENT ON COLUMN "reporting"."response_times"."as_of" IS 'Everything that was upstream then is counted (UTC); null: the first full read is not complete';

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

COMMENT ON VIEW "reporting"."lead_funnel" IS 'How far the leads of each day came: each stage holds those of the one before that went on. Deleted and temporary (50) leads are left out; which requests count: see requests_daily. Reads lead_facts';
COMMENT ON COLUMN "reporting"."lead_funnel"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."lead_funnel"."day" IS 'Day in the time zone of the account on which the lead was created; null: upstream has no date';
COMMENT ON COLUMN "reporting"."lead_funnel"."leads" IS 'Leads created';
COMMENT ON COLUMN "reporting"."lead_funnel"."with_request" IS 'Of these: wrote at least once';
COMMENT ON COLUMN "reporting"."lead_funnel"."answered" IS 'Of these: with a request that was answered';
COMMENT ON COLUMN "reporting"."lead_funnel"."closed" IS 'Of these: with a request that was answered and is closed';
COMMENT ON COLUMN "reporting"."lead_funnel"."rated" IS 'Of these: with a request that was answered, is closed and rated';
COMMENT ON COLUMN "reporting"."lead_funnel"."as_of" IS 'Everything that was upstream then is counted (UTC), the older of leads and requests; null: a first full read is not complete';

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

COMMENT ON VIEW "reporting"."link_engagement" IS 'One row per Tilkee link. Numbers are the greater of what the link says (which arrives with the full walk) and what its visits say (which arrive sooner). Deleted links and visits are left out, archived links are in. Reads link_facts';
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
COMMENT ON COLUMN "reporting"."link_engagement"."verdict" IS 'won or lost where the link says so, else the verdict of its project';
COMMENT ON COLUMN "reporting"."link_engagement"."person_key" IS 'reporting.lead_360.person_key';
COMMENT ON COLUMN "reporting"."link_engagement"."as_of" IS 'Everything that was upstream then is counted (UTC), the oldest of links, visits and projects; null: a first full read is not complete';

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

COMMENT ON VIEW "reporting"."freshness" IS 'How fresh each mirrored table and each view is, by account';
COMMENT ON COLUMN "reporting"."freshness"."relation" IS 'tiledesk.requests, reporting.requests_daily, ...';
COMMENT ON COLUMN "reporting"."freshness"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "reporting"."freshness"."reads" IS 'The precomputed table of schema reporting that the view reads; itself: a mirrored table';
COMMENT ON COLUMN "reporting"."freshness"."as_of" IS 'Everything that was upstream then is there (UTC); null: a first full read is not complete';
COMMENT ON COLUMN "reporting"."freshness"."refreshed_at" IS 'The precomputed table was brought up to the mirror (UTC); null for mirrored tables';
COMMENT ON COLUMN "reporting"."freshness"."lag_seconds" IS 'Seconds since as_of';
