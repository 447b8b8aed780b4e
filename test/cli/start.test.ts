import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { until } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { STREAMS } from '../helpers/mirror.ts';
import { admin, cli, database, env, opsOf, sandbox, stop } from './daemon-stage.ts';

describe('start', () => {
  it('mirrors, lets a change arrive by itself, answers about itself, and ends with 0 when it is told to stop', async () => {
    const daemon = cli.start(['start'], { env: env() });
    const ops = await opsOf(daemon);
    await ops.allFresh();
    expect(await ops.get('/healthz')).toEqual({ status: 200, body: { status: 'ok' } });
    expect(await ops.get('/readyz')).toEqual({
      status: 200,
      body: { status: 'ready', database: true, queue: true, migrations: true },
    });

    const [lead] = sandbox.data.leads.keys();
    sandbox.data.editLead(String(lead), { fullname: 'Arrives By Itself' });
    const found = "select from tiledesk.leads where fullname = 'Arrives By Itself'";
    await until('the change is in the mirror', async () => (await admin.query(found)).rowCount === 1);
    for (const stream of STREAMS) {
      await until(`${stream} equal`, async () => {
        const difference = await compareMirror(database.url, sandbox, stream);
        return JSON.stringify(difference) === JSON.stringify(EQUAL);
      });
    }

    const { code, stdout, stderr } = await stop(daemon);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: number; msg: string });
    expect(lines.filter(({ level }) => level >= 40)).toEqual([]);
    expect(lines.map(({ msg }) => msg)).toContain('leadmirror is running');
    const held = 'select from sync.checkpoints where lease_until is not null';
    expect((await admin.query(held)).rowCount).toBe(0);
  });

  it('takes a token for reading, and names who changes something by the address that its proxy gives', async () => {
    const [token, readToken] = ['tG7-for-changing-Qm4xZ', 'bN2-for-reading-Wk8vC'];
    cli.guard(token, readToken);
    const more = { OPS_TOKEN: token, OPS_READ_TOKEN: readToken, OPS_TRUSTED_PROXIES: '127.0.0.0/8' };
    const daemon = cli.start(['start'], { env: env(more) });
    const [, address = ''] = await daemon.says(/status on (http:\S+)\/api\/status/);
    const ask = async (bearer: string, path: string, method = 'GET') => {
      const headers = { authorization: `Bearer ${bearer}`, 'x-forwarded-for': '203.0.113.7' };
      return (await fetch(`${address}${path}`, { method, headers })).status;
    };
    const pause = `/api/streams/tiledesk:${sandbox.projectId}/tiledesk.leads/pause`;
    expect(await ask('neither', '/api/status')).toBe(401);
    expect([await ask(readToken, '/api/status'), await ask(readToken, pause, 'POST')]).toEqual([200, 403]);
    expect([await ask(token, '/api/status'), await ask(token, pause, 'POST')]).toEqual([200, 202]);
    expect((await stop(daemon)).stderr).toMatch(/"address":"203\.0\.113\.7".*"action":"pause"/);
  });

  it('on a port that is taken ends with 2 and names OPS_PORT', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const address = other.address();
      const port = typeof address === 'object' && address !== null ? String(address.port) : '';
      const { code, stderr } = await cli.run(['start'], { env: env({ OPS_PORT: port, LOG_LEVEL: 'silent' }) });
      expect(code).toBe(2);
      expect(stderr).toMatch(
        new RegExp(
          `^The configuration cannot be used:\\n  OPS_PORT: .*127\\.0\\.0\\.1:${port}.*\\ndocs/troubleshooting\\.md#config_invalid\\n$`,
        ),
      );
    } finally {
      other.close();
    }
  });

  it('with a database that refuses it ends at once: waiting would not help', async () => {
    const refused = new URL(database.url);
    refused.password = 'canary-of-a-wrong-password';
    const { code, stderr } = await cli.run(['start'], { env: env({ DATABASE_URL: refused.href }) });
    expect(code).toBe(1);
    expect(stderr).toContain('user or password refused');
  });

  it('does what trigger asks for at once', async () => {
    const daemon = cli.start(['start'], { env: env({ SYNC_INCREMENTAL_CRON: '0 0 1 1 *' }) });
    await (await opsOf(daemon)).allFresh();
    const runs =
      "select from sync.runs where stream = 'tiledesk.departments' and pass = 'reconcile' and outcome = 'succeeded'";
    expect((await admin.query(runs)).rowCount).toBe(0);
    const asked = await cli.run(['trigger', 'tiledesk.departments', '--pass', 'reconcile'], { env: env() });
    expect(asked).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/tiledesk\.departments reconcile: asked for\n$/),
    });
    await until('it is done', async () => (await admin.query(runs)).rowCount === 1);
    expect((await stop(daemon, 'SIGINT')).code).toBe(0);
  });
});
