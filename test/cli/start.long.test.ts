import { describe, expect, it } from '@jest/globals';
import { until } from '../helpers/cli.ts';
import { createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { STREAMS } from '../helpers/mirror.ts';
import { admin, cli, database, env, opsOf, sandbox, signIns, stop, url } from './daemon-stage.ts';

describe('start', () => {
  it('stopped in the middle of a full read ends with 0 within its limit, and keeps the checkpoint', async () => {
    sandbox.faults.push({ kind: 'slow', delayMs: 300, match: ({ list }) => list === 'requests', times: 1_000 });
    const daemon = cli.start(['start'], { env: env({ TILEDESK_PAGE_SIZE: '10' }) });
    const page =
      "select from sync.checkpoints where stream = 'tiledesk.requests' and pass = 'backfill' and cursor is not null";
    await until('a page of requests is written', async () => (await admin.query(page)).rowCount === 1);
    expect((await stop(daemon)).code).toBe(0);
    expect((await admin.query(page)).rowCount).toBe(1);
  });

  it('keeps trying while the database is down, says so plainly, and goes on when it is there', async () => {
    const proxy = await createCuttableProxy(database.url);
    try {
      await proxy.cut();
      const daemon = cli.start(['start'], { env: env({ DATABASE_URL: proxy.url }) });
      const stopped = cli.start(['start'], { env: env({ DATABASE_URL: proxy.url }) });
      const said = /database 127\.0\.0\.1:\d+\/\w+: cannot be reached; .*Trying again every 5 s\./;
      await Promise.all([daemon.says(said), stopped.says(said)]);
      expect((await stop(stopped)).code).toBe(0);
      await proxy.restore();
      await (await opsOf(daemon)).allFresh();
      expect((await stop(daemon)).code).toBe(0);
    } finally {
      await proxy.close();
    }
  });

  it('keeps trying while the upstream is down, and mirrors as soon as it answers', async () => {
    await sandbox.close();
    const daemon = cli.start(['start'], { env: env({ LOG_LEVEL: 'debug' }) });
    await daemon.says(/upstream request failed/);
    const { port } = new URL(url);
    await sandbox.listen({ port: Number(port) });
    await (await opsOf(daemon)).allFresh();
    expect((await stop(daemon)).code).toBe(0);
  });

  it('whose password stops working keeps running, shows why, and does not sign in at every tick', async () => {
    await cli.run(['sync'], { env: env() });
    sandbox.clearLog();
    const wrong = { TILEDESK_PASSWORD: 'canary-of-a-wrong-password', LOG_LEVEL: 'debug' };
    cli.guard(wrong.TILEDESK_PASSWORD);
    const daemon = cli.start(['start'], { env: env(wrong) });
    const ops = await opsOf(daemon);
    const blocked = async () => (await ops.streams()).filter(({ state }) => state === 'blocked');
    await until('every stream of the account is blocked', async () => (await blocked()).length === STREAMS.length);
    for (const { reason } of await blocked()) expect(reason).toMatch(/TILEDESK_EMAIL and TILEDESK_PASSWORD/);
    const skipped = () => daemon.stderr.split('run skipped: cooling_down').length - 1;
    await until('the first tick is skipped', () => skipped() > 0);
    const [ticks, asked] = [skipped(), signIns()];
    expect(asked).toBeLessThanOrEqual(STREAMS.length);
    await until('three more ticks of every stream', () => skipped() >= ticks + 3 * STREAMS.length);
    expect(signIns()).toBe(asked);
    const status = await cli.run(['status'], { env: env() });
    expect(status.stdout).toMatch(/tiledesk\.\w+ +blocked .*TILEDESK_PASSWORD/);
    expect((await stop(daemon)).code).toBe(0);
  });
});
