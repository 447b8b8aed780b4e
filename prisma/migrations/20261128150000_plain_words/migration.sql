-- One name for what a verify stores, and plain words in comments and reasons.
ALTER TABLE "sync"."proofs" RENAME TO "verifications";
ALTER TABLE "sync"."verifications" RENAME COLUMN "proved_at" TO "verified_at";
-- From Postgres 18 on NOT NULL constraints have names too.
DO $$
DECLARE
  old text;
BEGIN
  FOR old IN SELECT conname FROM pg_constraint WHERE conrelid = 'sync.verifications'::regclass LOOP
    EXECUTE format('ALTER TABLE sync.verifications RENAME CONSTRAINT %I TO %I', old,
      replace(replace(old, 'proofs', 'verifications'), 'proved_at', 'verified_at'));
  END LOOP;
END $$;
ALTER VIEW "sync"."status" RENAME COLUMN "proof_at" TO "verified_at";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_rows" TO "verified_rows";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_share" TO "verified_share";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_differences" TO "verification_differences";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_settled" TO "verification_settled";
DO $$
DECLARE
  line record;
  pair record;
  plain text;
BEGIN
  plain := replace(replace(pg_get_viewdef('sync.status'::regclass), 'full walk', 'full sync'), 'full sync met', 'full sync saw');
  EXECUTE 'CREATE OR REPLACE VIEW sync.status AS ' || plain;
  FOR line IN
    SELECT d.description AS text, CASE
        WHEN a.attname IS NOT NULL THEN format('COLUMN %s.%I', c.oid::regclass, a.attname)
        ELSE format('%s %s', CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.oid::regclass)
      END AS target
    FROM pg_description d
    JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid AND c.relkind IN ('r', 'v')
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    WHERE c.relnamespace::regnamespace::text IN ('sync', 'tiledesk', 'tilkee', 'reporting')
  LOOP
    plain := line.text;
    FOR pair IN SELECT * FROM (VALUES
    (1, 'a full walk no longer met it', 'a full sync no longer saw it'),
    (2, 'that the brake holds', 'that the deletion guard blocks'),
    (3, 'a full walk met', 'a full sync saw'),
    (4, 'of an unsorted list has met', 'of an unsorted list has seen'),
    (5, 'full walk', 'full sync'),
    (6, 'the word system', 'system'),
    (7, 'custom word', 'custom value'),
    (8, 'while nobody is there', 'while no teammate is available'),
    (9, 'somebody is there to take over', 'a teammate is available to take over'),
    (10, 'as the visit or the request for it told; null while neither did', 'from the visit or the request for it; null while neither has it'),
    (11, 'for somebody new', 'for a new person'),
    (12, 'Records set aside', 'Records quarantined'),
    (13, 'stable word', 'stable code'),
    (14, 'the same word are told as one', 'the same code are reported as one'),
    (15, ', for people', ', human-readable'),
    (16, 'The same for people', 'The same, human-readable'),
    (17, 'what nobody used', 'what is unused'),
    (18, 'was told to come back', 'was postponed'),
    (19, 'nobody asks before then', 'no request is sent before then'),
    (20, 'that met it last', 'that saw it last'),
    (21, 'First met', 'First seen'),
    (22, 'Last met', 'Last seen'),
    (23, 'types met there', 'types seen there'),
    (24, 'has to be told to people', 'has to be reported'),
    (25, 'enough to be told', 'enough to be reported'),
    (26, 'What is told;', 'What is reported;'),
    (27, 'is left alone', 'is not repeated'),
    (28, 'the mirror held then', 'the mirror had then'),
    (29, ', as upstream says', ', by the upstream'),
    (30, ', as the link says', ', by the link'),
    (31, 'does not say when', 'does not report when'),
    (32, 'what the link says', 'the link''s value'),
    (33, 'what its visits say', 'the sum of its visits'),
    (34, 'where the link says so', 'where the link has it'),
    (35, 'Word the user set', 'Text that the user set'),
    (36, 'Nobody asks before then', 'No request is sent before then'),
    (37, 'after a day of silence', 'after a day without one')
    ) AS p (nr, old, new) ORDER BY nr LOOP
      plain := replace(plain, pair.old, pair.new);
    END LOOP;
    IF plain <> line.text THEN
      EXECUTE format('COMMENT ON %s IS %L', line.target, plain);
    END IF;
  END LOOP;
END $$;
COMMENT ON SCHEMA "reporting" IS 'Human-readable views, and the precomputed tables that they read; see docs/sql.md';
