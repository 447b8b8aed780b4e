import { describe, expect, it } from '@jest/globals';
import { findClosedPort } from '../helpers/closed-port.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { STREAMS, setupMirror } from '../helpers/mirror.ts';
import { compareTilkee, setupTilkee, TILKEE_STREAMS } from '../helpers/tilkee-mirror.ts';

const KEY = { LEADMIRROR_SECRET_KEY: 'a key that nobody guesses' };

describe('an access token that expires in the middle of a run', () => {
  it('costs one refresh and no page', async () => {
    const setup = await setupTilkee({ tokens: 400, env: { TILKEE_PAGE_SIZE: '20' } });
    try {
      await setup.run('projects', 'backfill');
      const undisturbed = await setup.run('tokens', 'backfill');
      setup.sandbox.clearLog();
      let pages = 0;
      setup.sandbox.faults.afterAnswer = ({ list }) => {
        if (list !== 'v2.tokens') return;
        pages += 1;
        if (pages === 7) setup.sandbox.faults.revokeTokens();
      };

      const { outcome, pages: written, requests } = await setup.run('tokens', 'reconcile');

      expect({ outcome, written }).toEqual({ outcome: 'succeeded', written: undisturbed.pages });
      // The refused request, the refresh and the same request again: the refresh itself belongs to the account.
      expect(setup.sandbox.log.filter(({ status }) => status === 401)).toHaveLength(1);
      expect(requests).toBeLessThanOrEqual(written + 2);
      expect(setup.sandbox.signIns).toEqual({ password: 1, refresh: 1, code: 0, burnt: 0 });
      expect(await compareTilkee(setup, 'tokens')).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});

describe('several processes on one account', () => {
  it('share one sign-in, and never use a refresh token twice', async () => {
    const setup = await setupTilkee({ env: { ...KEY, TILKEE_PAGE_SIZE: '10' } });
    const others = [await setup.createApp(KEY), await setup.createApp(KEY)];
    try {
      let answers = 0;
      setup.sandbox.faults.afterAnswer = () => {
        answers += 1;
        if (answers % 15 === 0) setup.sandbox.faults.revokeTokens();
      };
      const never = new AbortController().signal;
      const apps = [setup.app, ...others];
      const outcomes = await Promise.all(
        (['projects', 'items', 'tokens'] as const).map(async (name, index) => {
          const app = apps[index] ?? setup.app;
          const found = app.findStream('tilkee:default', `tilkee.${name}`);
          if (found === undefined) throw new Error(name);
          const run = { ...found, pass: 'backfill' as const, signal: never, maxWaitMs: 60_000, leaseWaitMs: 0 };
          return (await app.runPass(run)).outcome;
        }),
      );

      expect(outcomes).toEqual(['succeeded', 'succeeded', 'succeeded']);
      const { password, refresh, burnt } = setup.sandbox.signIns;
      expect({ password, burnt }).toEqual({ password: 1, burnt: 0 });
      expect(refresh).toBeGreaterThan(0);
    } finally {
      await Promise.all(others.map((app) => app.close()));
      await setup.close();
    }
  });

  it('a later one goes on with the refresh token that the first left behind', async () => {
    const setup = await setupTilkee({ env: KEY });
    try {
      await setup.run('users', 'backfill');
      await setup.app.close();
      setup.sandbox.faults.revokeTokens();
      const second = await setup.createApp(KEY);
      const found = second.findStream('tilkee:default', 'tilkee.users');
      if (found === undefined) throw new Error('no users');
      const signal = new AbortController().signal;
      const { outcome } = await second.runPass({
        ...found,
        pass: 'incremental',
        signal,
        maxWaitMs: 60_000,
        leaseWaitMs: 0,
      });
      await second.close();
      expect({ outcome, ...setup.sandbox.signIns }).toEqual({
        outcome: 'succeeded',
        password: 1,
        refresh: 1,
        code: 0,
        burnt: 0,
      });
    } finally {
      await setup.close();
    }
  });
});

describe('a static key', () => {
  it('mirrors everything from V2 alone, projects and items included', async () => {
    const env = { TILKEE_USERNAME: '', TILKEE_PASSWORD: '', TILKEE_ACCESS_TOKEN: 'canary-of-a-key' };
    const setup = await setupTilkee({ accessKey: 'canary-of-a-key', env });
    try {
      const results = await setup.syncAll('backfill');
      expect(results.map(({ outcome }) => outcome)).toEqual(TILKEE_STREAMS.map(() => 'succeeded'));
      for (const name of TILKEE_STREAMS) {
        const kind = name === 'projects' || name === 'items' ? (`${name}V2` as const) : name;
        expect({ name, ...(await compareTilkee(setup, name, kind)) }).toEqual({ name, ...EQUAL });
      }
      setup.sandbox.data.randomEdits(30);
      const project = setup.sandbox.data.add('project');
      await setup.syncAll('incremental');
      expect(await setup.query('select 1 from tilkee.projects where id = $1', [String(project.id)])).toHaveLength(1);
      await setup.syncAll('reconcile');
      expect(await compareTilkee(setup, 'projects', 'projectsV2')).toEqual(EQUAL);
      expect(setup.sandbox.signIns).toEqual({ password: 0, refresh: 0, code: 0, burnt: 0 });
      expect(setup.sandbox.log.filter(({ list }) => list.startsWith('v3'))).toEqual([]);
    } finally {
      await setup.close();
    }
  });
});

describe('a Tilkee that cannot be reached', () => {
  it('leaves Tiledesk untouched', async () => {
    const nowhere = `http://127.0.0.1:${await findClosedPort()}`;
    const setup = await setupMirror(
      { leads: 60, requests: 80 },
      {
        TILKEE_V3_URL: `${nowhere}/v3`,
        TILKEE_V2_URL: `${nowhere}/v2`,
        TILKEE_AUTH_URL: `${nowhere}/v3`,
        TILKEE_USERNAME: 'somebody@example.com',
        TILKEE_PASSWORD: 'something',
        RETRY_ATTEMPTS: '1',
      },
    );
    try {
      const found = setup.app.findStream('tilkee:default', 'tilkee.projects');
      if (found === undefined) throw new Error('no projects');
      const signal = new AbortController().signal;
      const down = await setup.app.runPass({ ...found, pass: 'backfill', signal, maxWaitMs: 1000, leaseWaitMs: 0 });
      expect(down).toMatchObject({ outcome: 'failed', error: { code: 'network' } });

      const results = await setup.syncAll();

      expect(results.map(({ outcome }) => outcome)).toEqual(STREAMS.map(() => 'succeeded'));
      for (const name of STREAMS) expect(await compareMirror(setup.database.url, setup.sandbox, name)).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});
