import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import './typescript.js';

/**
 * Plain JavaScript, because Jest turns a global set-up in TypeScript into CommonJS, which has no `import.meta`. The tests themselves are compiled by
 * Jest as before.
 */
export default async function globalSetup() {
  const { useTemporaryMemory } = await import('./temporary.ts');
  useTemporaryMemory();
  const { announceMissingRedis } = await import('./redis.ts');
  await announceMissingRedis();
  const { announceMissingChromium } = await import('./chromium.ts');
  await announceMissingChromium();
  const { startTestServer } = await import('./test-server.ts');
  globalThis.leadmirrorTestServer = await startTestServer();
  const { SAID_DIRECTORY_VARIABLE } = await import('./printed/record.ts');
  const directory = await mkdtemp(join(tmpdir(), 'leadmirror-said-'));
  // Also where a run is cut short.
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  process.env[SAID_DIRECTORY_VARIABLE] = directory;
}
