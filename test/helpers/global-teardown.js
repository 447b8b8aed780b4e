export default async function globalTeardown() {
  await globalThis.leadmirrorTestServer?.stop();
}
