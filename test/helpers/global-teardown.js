/** @throws when a run said a secret or personal data, which fails the whole run of the tests */
export default async function globalTeardown() {
  await globalThis.leadmirrorTestServer?.stop();
  const { SAID_DIRECTORY_VARIABLE } = await import('./printed/record.ts');
  const { describeScan, scanSaid } = await import('./printed/scan.ts');
  const directory = process.env[SAID_DIRECTORY_VARIABLE];
  if (directory === undefined) return;
  const result = await scanSaid(directory);
  if (result.findings.length > 0) throw new Error(describeScan(result));
  process.stderr.write(`${describeScan(result)}\n`);
}
