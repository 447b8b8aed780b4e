import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { main } from '../../src/cli/main.ts';
import { bucketsOf, parseDay } from '../../src/store/reports/report-days.ts';

let said: string;
let exitCode: typeof process.exitCode;
beforeEach(() => {
  said = '';
  ({ exitCode } = process);
  process.exitCode = undefined;
  jest.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(() => {
  jest.restoreAllMocks();
  process.exitCode = exitCode;
});

const MANY = '9223372036854775808';

describe('an argument that is none ends the command with words', () => {
  test.each([
    ...['0', '-1', '1.5', '1e3', '0x10', ' 5', '', 'NaN', 'Infinity', MANY, `-${MANY}`, '9'.repeat(400), '٣'].map(
      (n) => ['runs', `--limit=${n}`],
    ),
    ...[MANY, '-1', '65536', '0x50', '1e3', ''].map((n) => ['sandbox', `--port=${n}`]),
    ...[MANY, '0', '1e12', '999999999999'].flatMap((n) => [
      ['sandbox', `--leads=${n}`],
      ['sandbox', `--requests=${n}`],
      ['sandbox', `--seed=${n}`],
    ]),
    ...['NaN', '1.1', '-0.1', '0x1', '', '1e-400', MANY, 'Infinity', '.'].map((n) => ['verify', `--sample=${n}`]),
    ['sync', '--pass=\u{1f600}'],
    ['no-such-command'],
    ['\u200bsync'],
    ['sync', '--no-such-option'],
  ])('%s %s', async (...words) => {
    await main(['node', 'leadmirror', ...words]);
    expect(process.exitCode).toBe(2);
    expect(said).toMatch(/^error: /);
    expect(said).not.toMatch(/\n\s+at /);
  });

  test.each([
    ['runs', '--limit', '1\0'],
    ['sync', 'tiledesk.leads\0'],
    ['sync', '--connection', 'a\ud800b'],
    ['report', '--html', 'file\0'],
    ['grant-readonly', '\udfff'],
    ['tilkee', 'login', '--redirect-uri', 'http://127.0.0.1/\0'],
    ['--\0'],
  ])('%j with a NUL or half of a letter', async (...words) => {
    await main(['node', 'leadmirror', ...words]);
    expect(process.exitCode).toBe(2);
    expect(said).toMatch(/^error: an argument has a NUL character/);
  });
});

test('a day is one of the calendar and of these centuries, so that what is counted from it ends', () => {
  for (const text of [
    '0000-01-01',
    '0001-01-01',
    '1969-12-31',
    '9999-12-31',
    '3000-01-01',
    '2026-02-30',
    '275760-09-13',
    '2026-1-1',
    '٢٠٢٦-01-01',
  ]) {
    expect(parseDay(text)).toBeNull();
  }
  for (const text of ['1970-01-01', '2026-02-28', '2999-12-31']) expect(parseDay(text)).toBe(text);
  expect(bucketsOf('1970-01-01', '2999-12-31', 'month')).toHaveLength(1030 * 12);
  expect(bucketsOf('2999-12-31', '2999-12-31', 'day')).toEqual(['2999-12-31']);
});
