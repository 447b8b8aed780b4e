import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { closest } from '../src/config/suggest.ts';
import { describeConfig, loadConfig } from '../src/config.ts';
import { CANARY, cwd, describeJunk, good, PROJECT, shapes, testPasted, visible } from './config-safety.ts';

describe('secrets', () => {
  test('are in no summary and no note', () => {
    expect(visible(good)).not.toContain(CANARY);
    expect(
      visible({ ...good, TILEDESK_EMAIL: '', TILEDESK_PASSWORD: '', TILEDESK_TOKEN: `JWT ${CANARY}` }),
    ).not.toContain(CANARY);
  });

  testPasted(shapes.some);

  test('in a broken .env are in no message', () => {
    writeFileSync(join(cwd, '.env'), `${CANARY}\nTILEDESK_PASSWORD ${CANARY}\nOPS_TOKEN=${CANARY}#${CANARY}\n`);
    expect(visible({})).not.toContain(CANARY);
  });

  test('the summary names what was decided', () => {
    const config = loadConfig({ env: good, cwd, isTerminal: false });
    expect(Object.fromEntries(describeConfig(config).map(({ name, value }) => [name, value]))).toMatchObject({
      database: 'Postgres at db.example:5432, database mirror',
      queue: 'Redis at redis.example:6379',
      [`tiledesk:${PROJECT}`]:
        'https://api.tiledesk.com/v3, e-mail and password (jwt), leads requests departments project_users, ' +
        '200 requests a minute, pages of 100, of leads up to 1000, full syncs by id',
      'health and status': 'http://127.0.0.1:8080, actions with OPS_TOKEN',
    });
  });
});

describeJunk(150);

describe('suggestions', () => {
  test.each([
    ['page_size', 'pageSize'],
    ['PAGE-SIZE', 'pageSize'],
    ['pagesiez', null],
    ['pageSise', 'pageSize'],
    ['ID', 'id'],
    ['ab', null],
  ])('%s: %s', (word, meant) => {
    expect(closest(word, ['id', 'pageSize'])).toBe(meant);
  });
});
