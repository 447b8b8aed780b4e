import { describe, expect, test } from '@jest/globals';
import { DateParameterError, parseEnd, parseOldDay, parseStart } from '../../sandbox/dates.ts';

const iso = (at: number): string => new Date(at).toISOString();

describe('parseStart', () => {
  test.each([
    ['21/11/2026 10:00:05', 'UTC', '2026-11-21T10:00:05.000Z'],
    ['21/11/2026, 10:00:05', 'UTC', '2026-11-21T10:00:05.000Z'],
    ['21/11/2026 10:07', 'UTC', '2026-11-21T10:07:00.000Z'],
    ['21/11/2026', 'UTC', '2026-11-21T00:00:00.000Z'],
    ['21/11/2026', 'Europe/Rome', '2026-11-20T23:00:00.000Z'],
    ['21/07/2026 00:00:00', 'Europe/Rome', '2026-07-20T22:00:00.000Z'],
    ['21/11/2026 09:00:00', 'Asia/Kolkata', '2026-11-21T03:30:00.000Z'],
    ['21/11/2026 09:00:00', 'America/New_York', '2026-11-21T14:00:00.000Z'],
    // The first hours around both clock changes of 2026 in Rome.
    ['29/03/2026 03:30:00', 'Europe/Rome', '2026-03-29T01:30:00.000Z'],
    ['25/10/2026 04:00:00', 'Europe/Rome', '2026-10-25T03:00:00.000Z'],
    ['01/01/1970 00:00:00', 'UTC', '1970-01-01T00:00:00.000Z'],
    ['01/01/2100 00:00:00', 'UTC', '2100-01-01T00:00:00.000Z'],
  ])('%s in %s is %s', (text, timezone, expected) => {
    expect(iso(parseStart(text, timezone))).toBe(expected);
  });

  test('misreads year-first dates as a running 2.19 server did', () => {
    expect(iso(parseStart('2026/11/21', 'UTC'))).toBe('2021-11-20T00:00:00.000Z');
    expect(iso(parseStart('2012/01/20', 'UTC'))).toBe('2020-01-20T00:00:00.000Z');
  });

  test('reads an ISO text but not its offset', () => {
    expect(iso(parseStart('2026-11-21T10:00:05Z', 'Europe/Rome'))).toBe('2026-11-21T09:00:05.000Z');
  });

  test.each(['1763719200000', 'yesterday', '99/99/2026', '32/13/2026 10:00:00'])('refuses %s', (text) => {
    expect(() => parseStart(text, 'UTC')).toThrow(new DateParameterError(`Unable to parse the date: ${text}`));
  });

  test('refuses an unknown time zone', () => {
    expect(() => parseStart('21/11/2026', 'Nowhere/Land')).toThrow('Invalid timezone: Nowhere/Land');
  });
});

describe('parseEnd', () => {
  test('with a time is that very second, so the next millisecond is outside', () => {
    expect(iso(parseEnd('21/11/2026 10:00:05', 'UTC'))).toBe('2026-11-21T10:00:05.000Z');
  });

  test('without a time takes the whole day, also one of 23 hours', () => {
    expect(iso(parseEnd('31/12/2026', 'UTC'))).toBe('2026-12-31T23:59:59.999Z');
    expect(iso(parseEnd('29/03/2026', 'Europe/Rome'))).toBe('2026-03-29T21:59:59.999Z');
  });
});

test('an old server takes the day and drops the rest', () => {
  expect(iso(parseOldDay('21/11/2026 10:00:05'))).toBe('2026-11-21T00:00:00.000Z');
  expect(() => parseOldDay('never')).toThrow(RangeError);
});
