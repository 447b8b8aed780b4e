import './typescript.js';

/**
 * Plain JavaScript, because Jest turns a global set-up in TypeScript into CommonJS, which has no `import.meta`. The tests themselves are compiled by
 * Jest as before.
 */
export default async function globalSetup() {
  const { announceMissingRedis } = await import('./redis.ts');
  await announceMissingRedis();
  const { announceMissingChromium } = await import('./chromium.ts');
  await announceMissingChromium();
  const { startTestServer } = await import('./test-server.ts');
  globalThis.leadmirrorTestServer = await startTestServer();
}
