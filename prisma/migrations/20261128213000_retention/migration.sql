-- Rows whose texts were removed because they were kept for long enough; a page does not bring the texts back.
CREATE TABLE "sync"."erased_texts" (
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
COMMENT ON COLUMN "sync"."erasures"."reason" IS 'request, objection, upstream or retention';
