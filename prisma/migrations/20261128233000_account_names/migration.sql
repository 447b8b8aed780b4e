CREATE TABLE "sync"."account_names" (
  "connection_id" TEXT NOT NULL,
  "name" TEXT NOT NULL,

  CONSTRAINT "account_names_pkey" PRIMARY KEY ("connection_id")
);
COMMENT ON TABLE "sync"."account_names" IS 'What an account is called upstream, such as the name of a Tiledesk project; shown where it has no label';
COMMENT ON COLUMN "sync"."account_names"."connection_id" IS 'Configured account';
COMMENT ON COLUMN "sync"."account_names"."name" IS 'On one line';
