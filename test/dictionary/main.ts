/** Writes docs/data-dictionary.md and deploy/dbt/models/sources.yml anew, from a database that is migrated for it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { createTestDatabase } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';
import { startTestServer } from '../helpers/test-server.ts';
import { readCatalog } from './catalog.ts';
import { renderDictionary, renderSources } from './render.ts';

const server = await startTestServer();
try {
  const { url } = await createTestDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const tables = await readCatalog(client);
  await client.end();
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(findRoot(), path)), { recursive: true });
    await writeFile(join(findRoot(), path), text);
    process.stdout.write(`${path} written\n`);
  };
  await write('docs/data-dictionary.md', renderDictionary(tables));
  await write('deploy/dbt/models/sources.yml', renderSources(tables));
} finally {
  await server.stop();
}
