import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { type Receiver, startReceiver } from '../alerts/receivers.ts';
import { findClosedPort } from '../helpers/closed-port.ts';

/** `leadmirror alerts test`, as a person runs it. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

let receiver: Receiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.close());

function alertsTest(env: Readonly<Record<string, string>>, ...words: string[]) {
  const script = `(await import(${JSON.stringify(join(ROOT, 'src/cli/main.ts'))})).main(['node', 'leadmirror', 'alerts', 'test', ...${JSON.stringify(words)}])`;
  const hooks = join(ROOT, 'test/helpers/typescript.js');
  const args = ['--no-warnings', '--import', hooks, '--input-type=module', '-e', script];
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, args, { cwd: '/', env: { PATH: process.env.PATH, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

it('says of each way what came back, and ends with 1 when one failed', async () => {
  const port = await findClosedPort();
  const mail = {
    ALERT_EMAIL_TO: 'ops@example.com',
    ALERT_EMAIL_FROM: 'm@example.com',
    SMTP_URL: `smtp://127.0.0.1:${port}`,
  };
  const { code, stdout } = await alertsTest({ ALERT_WEBHOOK_URL: receiver.url, ...mail });
  expect(code).toBe(1);
  expect(stdout.split('\n')).toEqual([
    expect.stringMatching(/^webhook \(127\.0\.0\.1:\d+\): accepted/),
    expect.stringMatching(/^email \(127\.0\.0\.1:\d+\): failed: the mail server .* cannot be reached/),
    '',
  ]);
  expect(receiver.accepted).toMatchObject([{ type: 'leadmirror.test' }]);
});

it('tells scripts the same, and ends with 2 when nothing is configured', async () => {
  const told = await alertsTest({ ALERT_WEBHOOK_URL: receiver.url }, '--json');
  expect(told.code).toBe(0);
  expect(JSON.parse(told.stdout)).toMatchObject({ channels: [{ channel: 'webhook', delivered: true, error: null }] });
  const nothing = await alertsTest({});
  expect(nothing.code).toBe(2);
  expect(nothing.stderr).toContain('ALERT_WEBHOOK_URL: is not set');
});
