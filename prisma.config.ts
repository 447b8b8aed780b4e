import { fileURLToPath } from 'node:url';
import { defineConfig } from 'prisma/config';

// `prisma generate` never runs the schema engine, but would download one from outside the npm registry. Naming any existing
// file keeps it from doing so. Only for `generate`: with the same variable set, `prisma migrate deploy` exits 0 and does nothing,
// so migrations run in our own process (src/store/migrate.ts).
if (process.argv.includes('generate')) {
  process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= fileURLToPath(import.meta.url);
}

export default defineConfig({ schema: 'prisma/schema.prisma', migrations: { path: 'prisma/migrations' } });
