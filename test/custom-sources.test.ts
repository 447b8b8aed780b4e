import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type App, createApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';
import { silentLogger } from '../src/logger.ts';
import { defineConnection, defineStream } from '../src/sources/define.ts';
import { createTestDatabase, type TestDatabase } from './helpers/postgres.ts';

const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';

describe('connections that are not of the configuration', () => {
  let database: TestDatabase;
  const apps: App[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    for (const app of apps) await app.close();
    await database.drop();
  });

  const configOf = (env: Record<string, string> = {}) =>
    loadConfig({ env: { DATABASE_URL: database.url, ...env }, cwd: '/' }, { requireConnections: false });
  const tiledesk = { TILEDESK_PROJECT_ID: PROJECT, TILEDESK_TOKEN: 'JWT a.b.c' };

  const noteStream = () =>
    defineStream({ name: 'desk.notes', columns: {}, map: ({ id }) => ({ id }), lists: () => [] });

  async function open(ids: readonly string[]): Promise<App> {
    const { signal } = new AbortController();
    const app = await createApp(configOf(), {
      ...{ logger: silentLogger(), signal },
      connect: () =>
        ids.map((id) =>
          defineConnection({
            id,
            source: 'desk',
            credential: 'desk:x',
            requestsPerMinute: 60,
            streams: [noteStream()],
          }),
        ),
    });
    apps.push(app);
    return app;
  }

  it('are there with their schedules, and stay through a reload', async () => {
    const app = await open(['desk:main']);
    const own = app.connections[0];
    expect(app.streams.map(({ connectionId, stream }) => [connectionId, stream])).toEqual([
      ['desk:main', 'desk.notes'],
    ]);
    expect(app.scheduleOf('desk:main', 'desk.notes')?.incremental).toEqual(expect.any(String));
    const changes = await app.reload(configOf(tiledesk));
    expect(changes.added).toEqual([`tiledesk:${PROJECT}`]);
    expect(app.connections.map(({ id }) => id)).toEqual([`tiledesk:${PROJECT}`, 'desk:main']);
    expect(app.connections[1]).toBe(own);
    expect((await app.reload(configOf())).removed).toEqual([`tiledesk:${PROJECT}`]);
    expect(app.connections).toEqual([own]);
  });

  it('are refused when two have one id, and everything that was opened is closed', async () => {
    await expect(open(['desk:main', 'desk:main'])).rejects.toBeInstanceOf(ConfigError);
  });

  it('keep a configuration out that takes an id of theirs; the one before stays in force', async () => {
    const app = await open([`tiledesk:${PROJECT}`]);
    await expect(app.reload(configOf(tiledesk))).rejects.toMatchObject({ code: 'config_invalid' });
    expect(app.config.connections).toEqual([]);
    expect(app.connections).toHaveLength(1);
  });
});
