-- Persons can be erased, and stay so: what was erased is marked, and what must not come back is kept as keyed hashes.
ALTER TABLE "tiledesk"."leads" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."leads"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."requests" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."requests"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."departments" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."departments"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."project_users" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."project_users"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."bots" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."bots"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."groups" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."groups"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."tags" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."tags"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tiledesk"."messages" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tiledesk"."messages"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tilkee"."projects" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tilkee"."projects"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tilkee"."items" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tilkee"."items"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tilkee"."tokens" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tilkee"."tokens"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tilkee"."connexions" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tilkee"."connexions"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';
ALTER TABLE "tilkee"."users" ADD COLUMN "erased_at" timestamptz(3);
COMMENT ON COLUMN "tilkee"."users"."erased_at" IS 'A person of the row was erased (UTC): only key, dates and what identifies no person is left; null: it was not';

CREATE TABLE "sync"."privacy" (
  "id" integer NOT NULL,
  "epoch" bigint NOT NULL DEFAULT 0,
  "journal_id" uuid,
  "journal_hash" text,
  CONSTRAINT "privacy_pkey" PRIMARY KEY ("id")
);
INSERT INTO "sync"."privacy" ("id") VALUES (1);
COMMENT ON TABLE "sync"."privacy" IS 'One row: how many erasures there were, and where their journal stands';
COMMENT ON COLUMN "sync"."privacy"."id" IS 'Always 1';
COMMENT ON COLUMN "sync"."privacy"."epoch" IS 'Grows with every erasure';
COMMENT ON COLUMN "sync"."privacy"."journal_id" IS 'Names the journal; null before the first erasure';
COMMENT ON COLUMN "sync"."privacy"."journal_hash" IS 'Digest of the last line of the journal that this database knows';

-- The lock makes an erasure wait for checkpoints that are being made: it sees, and moves, all of them.
CREATE FUNCTION "sync"."current_privacy_epoch"() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT epoch FROM sync.privacy WHERE id = 1 FOR SHARE
$$;
COMMENT ON FUNCTION "sync"."current_privacy_epoch"() IS 'The epoch that a new checkpoint begins with';
ALTER TABLE "sync"."checkpoints" ADD COLUMN "privacy_epoch" bigint NOT NULL DEFAULT 0;
ALTER TABLE "sync"."checkpoints" ALTER COLUMN "privacy_epoch" SET DEFAULT sync.current_privacy_epoch();
COMMENT ON COLUMN "sync"."checkpoints"."privacy_epoch" IS 'Grows with every erasure that concerns the account; a page that was prepared before it is not written';

CREATE TABLE "sync"."suppressions" (
  "connection_id" text NOT NULL,
  "hash" bytea NOT NULL,
  "erasure_id" uuid NOT NULL,
  "kind" text NOT NULL,
  "stream" text,
  "created_at" timestamptz(3),
  "until" timestamptz(3),
  CONSTRAINT "suppressions_pkey" PRIMARY KEY ("connection_id", "hash", "erasure_id")
);
CREATE INDEX "suppressions_erasure_id_idx" ON "sync"."suppressions" ("erasure_id");
COMMENT ON TABLE "sync"."suppressions" IS 'What must not come back: rows, addresses and numbers of persons who were erased, as keyed hashes';
COMMENT ON COLUMN "sync"."suppressions"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."suppressions"."hash" IS 'First 16 bytes of the HMAC-SHA256 of what is suppressed; the key is in sync.secrets';
COMMENT ON COLUMN "sync"."suppressions"."erasure_id" IS 'sync.erasures.id';
COMMENT ON COLUMN "sync"."suppressions"."kind" IS 'row, address or number';
COMMENT ON COLUMN "sync"."suppressions"."stream" IS 'Source and kind of a row: tiledesk.leads; null: an address or a number';
COMMENT ON COLUMN "sync"."suppressions"."created_at" IS 'When the row was created upstream (UTC); null: not known, or no row';
COMMENT ON COLUMN "sync"."suppressions"."until" IS 'Holds for what was created until then (UTC); null: for ever';

CREATE TABLE "sync"."erasures" (
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
COMMENT ON COLUMN "sync"."erasures"."reason" IS 'request, objection or upstream';
COMMENT ON COLUMN "sync"."erasures"."reference" IS 'The caller''s own reference, such as the number of a ticket';
COMMENT ON COLUMN "sync"."erasures"."actor" IS 'Host and process that began it';
COMMENT ON COLUMN "sync"."erasures"."state" IS 'erasing, done, residue or lifted';
COMMENT ON COLUMN "sync"."erasures"."requested_at" IS 'Asked for (UTC): what was created later is not erased, unless it was an objection';
COMMENT ON COLUMN "sync"."erasures"."ended_at" IS 'Ended (UTC); null: not yet';
COMMENT ON COLUMN "sync"."erasures"."counts" IS 'Rows by table';
COMMENT ON COLUMN "sync"."erasures"."residue" IS 'Rows by table in which the person was found afterwards';
COMMENT ON COLUMN "sync"."erasures"."plan" IS 'What is still to be done, encrypted with LEADMIRROR_SECRET_KEY; null once it ended';
