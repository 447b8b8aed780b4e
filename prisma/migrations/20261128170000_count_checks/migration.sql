CREATE TABLE "sync"."count_checks" (
  "connection_id" TEXT NOT NULL,
  "stream" TEXT NOT NULL,
  "unexplained_at" TIMESTAMPTZ(3),
  "unexplained" BIGINT,
  "offsets" JSONB NOT NULL DEFAULT '[]',
  "offsets_at" TIMESTAMPTZ(3),
  "refused_until" TIMESTAMPTZ(3),
  CONSTRAINT "count_checks_pkey" PRIMARY KEY ("connection_id", "stream")
);
COMMENT ON TABLE "sync"."count_checks" IS 'What the count checks of each stream found: the mirror''s alive rows compared with the number that the upstream reports.';
COMMENT ON COLUMN "sync"."count_checks"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."count_checks"."stream" IS 'Source and kind: tiledesk.leads';
COMMENT ON COLUMN "sync"."count_checks"."unexplained_at" IS 'A difference that no row explains was seen then (UTC), and a full sync is needed; null: none';
COMMENT ON COLUMN "sync"."count_checks"."unexplained" IS 'That difference: rows that the upstream counts less those that the mirror should have';
COMMENT ON COLUMN "sync"."count_checks"."offsets" IS 'Rows that the upstream counts and does not list, by list and window; found after a full sync, and only used until the next one';
COMMENT ON COLUMN "sync"."count_checks"."offsets_at" IS 'They were found then (UTC)';
COMMENT ON COLUMN "sync"."count_checks"."refused_until" IS 'The upstream reported a wrong count: its counts are not used before then (UTC)';
COMMENT ON COLUMN "sync"."checkpoints"."pass" IS 'backfill, incremental, reconcile, count or verify';
COMMENT ON COLUMN "sync"."runs"."pass" IS 'backfill, incremental, reconcile, count or verify';
COMMENT ON COLUMN "sync"."seen_ids"."pass" IS 'backfill, reconcile, count or verify';

-- The state takes count checks into account; a complete full sync settles what one of them saw. Behind it: which kind of evidence there is.
DO $$
DECLARE
  plain text := rtrim(pg_get_viewdef('sync.status'::regclass), ';');
  pair record;
BEGIN
  FOR pair IN SELECT * FROM (VALUES
    ('(''reconcile''::text)', '(''reconcile''::text), (''count''::text)'),
    ('(u.pass = ''backfill''::text)', '(u.pass = ANY (ARRAY[''backfill''::text, ''count''::text]))')
  ) AS p(old, new) LOOP
    IF position(pair.old IN plain) = 0 THEN
      RAISE EXCEPTION 'sync.status does not contain %', pair.old;
    END IF;
    plain := replace(plain, pair.old, pair.new);
  END LOOP;
  EXECUTE 'CREATE OR REPLACE VIEW sync.status AS
    SELECT s.connection_id, s.stream, s.state, s.reason, s.since,
      coalesce(s.running_pass, CASE WHEN k.lease_until > clock_timestamp() THEN ''count'' END) AS running_pass,
      s.last_success_at, s.as_of, s.lag_seconds, s.watermark, s.backfill_completed_at, s.open_quarantine, s.notice,
      s.verified_at, s.verified_rows, s.verified_share, s.verification_differences, s.reason_code, s.verification_settled,
      e.proof_kind, e.proof_at,
      (SELECT sum((o.value->>''rows'')::bigint)::bigint FROM sync.count_checks c, jsonb_array_elements(c.offsets) o
        WHERE c.connection_id = s.connection_id AND c.stream = s.stream
          AND c.offsets_at > coalesce(r.completed_at, b.completed_at)) AS unlisted_rows
    FROM (' || plain || ') s
    LEFT JOIN sync.checkpoints k ON k.connection_id = s.connection_id AND k.stream = s.stream AND k.pass = ''count''
    LEFT JOIN sync.checkpoints r ON r.connection_id = s.connection_id AND r.stream = s.stream AND r.pass = ''reconcile''
    LEFT JOIN sync.checkpoints b ON b.connection_id = s.connection_id AND b.stream = s.stream AND b.pass = ''backfill''
    LEFT JOIN LATERAL (
      SELECT p.kind AS proof_kind, p.at AS proof_at
      FROM (VALUES (''count'', k.completed_at), (''ids'', greatest(r.completed_at, b.completed_at)),
        (''content'', CASE WHEN s.verification_differences = 0 THEN s.verified_at END)) AS p(kind, at)
      WHERE p.at IS NOT NULL
      ORDER BY p.at DESC LIMIT 1
    ) e ON true';
END $$;
COMMENT ON COLUMN "sync"."status"."proof_kind" IS 'The latest evidence that the mirror is complete. count: the upstream counts as many rows; ids: a full sync saw every id; content: verify compared the content; null: none yet';
COMMENT ON COLUMN "sync"."status"."proof_at" IS 'When that was (UTC)';
COMMENT ON COLUMN "sync"."status"."unlisted_rows" IS 'Rows that the upstream counts and does not list, as found after the last full sync; null: none';
