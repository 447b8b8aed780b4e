import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { describeConfig, loadConfig, VARIABLES } from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';
import fc from './helpers/property.ts';
import { shareCases } from './helpers/share.ts';

export const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';
export const CANARY = 'c4n4ry';

export let cwd = '';
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'leadmirror-config-'));
});
beforeEach(() => {
  for (const name of ['.env', 'leadmirror.yaml']) rmSync(join(cwd, name), { force: true });
});
afterAll(() => rmSync(cwd, { recursive: true }));

/** Everything that a person or a log would see of loading this: problems, or notes and summary. */
export function visible(env: Readonly<Record<string, string | undefined>>): string {
  try {
    const config = loadConfig({ env, cwd, isTerminal: false }, { requireConnections: false });
    return JSON.stringify([config.notes, describeConfig(config)]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return `${error.message} ${JSON.stringify(error.problems)} ${String(error.cause ?? '')} ${error.stack ?? ''}`;
  }
}

export const good = {
  TILEDESK_PROJECT_ID: PROJECT,
  TILEDESK_EMAIL: `${CANARY}@example.com`,
  TILEDESK_PASSWORD: CANARY,
  DATABASE_URL: `postgres://user:${CANARY}@db.example:5432/mirror?sslpassword=${CANARY}`,
  REDIS_URL: `redis://:${CANARY}@redis.example:6379`,
  OPS_TOKEN: CANARY,
  HTTPS_PROXY: `http://user:${CANARY}@proxy.example:3128`,
  TILKEE_USERNAME: `${CANARY}@example.com`,
  TILKEE_PASSWORD: CANARY,
  TILKEE_CLIENT_ID: CANARY,
  TILKEE_CLIENT_SECRET: CANARY,
  TILKEE_REFRESH_TOKEN: CANARY,
  LEADMIRROR_SECRET_KEY: `${CANARY}, and more behind it`,
};

export const shapes = shareCases(
  [
    CANARY,
    `Bearer ${CANARY}`,
    `JWT ${CANARY} ${CANARY}`,
    `https://user:${CANARY}@host.example/`,
    `https://host.example/?secret=${CANARY}`,
    `postgres://user:${CANARY}%@host/db`,
    `redis://:${CANARY}@host:port`,
    `leads,${CANARY}`,
    `${CANARY} * * * *`,
  ],
  3,
);

/** Secrets of these shapes, at every place of a configuration. */
export function testPasted(shapes: readonly string[]): void {
  test.each(VARIABLES.map(({ name }) => name))('pasted into %s are in no message', (name) => {
    for (const shape of shapes) {
      // LEADMIRROR_HOME is a path and is shown as one; a word alone is a fine folder name.
      if (name === 'LEADMIRROR_HOME') continue;
      const isHost = name === 'OPS_HOST' && shape === CANARY;
      expect(visible({ ...good, [name]: shape, ...(isHost ? { OPS_TOKEN: '' } : {}) })).not.toContain(CANARY);
      expect(visible({ ...good, [name]: undefined, [`${name}_FILE`]: shape })).not.toContain(CANARY);
    }
  });

  test.each([
    'email',
    'password',
    'passwordFile',
    'token',
    'tokenFile',
    'projectId',
    'source',
    'baseUrl',
    'streams',
    'pageSize',
    'auth',
    'enabled',
    'schedule',
    'streamSchedules',
  ])('pasted into %s of leadmirror.yaml are in no message', (key) => {
    for (const value of [
      ...shapes,
      `*${CANARY}`,
      `@${CANARY}`,
      `"${CANARY}`,
      `{ ${CANARY}`,
      `!${CANARY} x`,
      `"\${${CANARY}-}"`,
    ]) {
      writeFileSync(join(cwd, 'leadmirror.yaml'), `connections:\n  - source: tiledesk\n    ${key}: ${value}\n`);
      expect(visible({})).not.toContain(CANARY);
    }
  });

  test.each(['incremental: VALUE', 'timezone: VALUE', 'VALUE: off'])(
    'pasted as %s into a schedule of leadmirror.yaml are in no message',
    (key) => {
      for (const shape of shapes) {
        const text = key.replace('VALUE', JSON.stringify(shape));
        for (const place of [`schedule: { ${text} }`, `streamSchedules: { leads: { ${text} } }`]) {
          writeFileSync(join(cwd, 'leadmirror.yaml'), `connections:\n  - source: tiledesk\n    ${place}\n`);
          expect(visible({})).not.toContain(CANARY);
        }
      }
    },
  );
}

/** Whatever stands where a configuration should: in variables this often, in files half as often. */
export function describeJunk(runs: number): void {
  describe('junk', () => {
    const names = fc.constantFrom(
      ...VARIABLES.map(({ name }) => name),
      'http_proxy',
      'TILKEE_ENV',
      '__proto__',
      'OPS_TOKEN_FILE',
    );
    const fragment = fc.constantFrom(
      'JWT ',
      'http://',
      'postgres://',
      'redis://',
      '[::1]',
      '* * * * *',
      PROJECT,
      ',',
      `\${A}`,
      '%',
      '#',
      '\0',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.integer().map(String),
      fc.array(fc.oneof(fragment, fc.string({ maxLength: 5 })), { maxLength: 5 }).map((parts) => parts.join('')),
    );

    test('in variables gives a configuration or a ConfigError, nothing else', () => {
      fc.assert(
        fc.property(fc.array(fc.tuple(names, text)), (pairs) => {
          visible(Object.fromEntries(pairs));
        }),
        { numRuns: runs },
      );
    });

    test('in .env and leadmirror.yaml gives a configuration or a ConfigError, nothing else', () => {
      const value = fc.oneof(text, fc.json());
      const yaml = fc.oneof(
        value,
        fc
          .array(
            fc.tuple(
              fc.constantFrom('source', 'projectId', 'password', 'streams', 'token', 'id', '__proto__', '? [a]'),
              value,
            ),
          )
          .map((pairs) => `connections:\n  - a: b\n${pairs.map(([key, each]) => `    ${key}: ${each}\n`).join('')}`),
      );
      const dotEnv = fc.array(
        fc.oneof(
          text,
          fc.tuple(names, text).map(([name, each]) => `${name}=${each}`),
        ),
      );
      fc.assert(
        fc.property(dotEnv, yaml, (lines, content) => {
          writeFileSync(join(cwd, '.env'), lines.join('\n'));
          writeFileSync(join(cwd, 'leadmirror.yaml'), content);
          visible({});
        }),
        { numRuns: runs / 2 },
      );
    });
  });
}
