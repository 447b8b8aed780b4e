-- One name for what a verify stores.
ALTER TABLE "sync"."proofs" RENAME TO "verifications";
ALTER TABLE "sync"."verifications" RENAME CONSTRAINT "proofs_pkey" TO "verifications_pkey";
ALTER TABLE "sync"."verifications" RENAME COLUMN "proved_at" TO "verified_at";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_at" TO "verified_at";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_rows" TO "verified_rows";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_share" TO "verified_share";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_differences" TO "verification_differences";
ALTER VIEW "sync"."status" RENAME COLUMN "proof_settled" TO "verification_settled";
