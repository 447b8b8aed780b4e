import { describe, expect, it } from '@jest/globals';
import { backoffMs, MAX_RETRY_AFTER_MS, parseHttpDate, parseRetryAfter } from '../../src/http/retry-after.ts';
import fc from '../helpers/property.ts';

const NOW = Date.UTC(2026, 0, 15, 12, 0, 0);
const HOUR = 3_600_000;

describe('parseRetryAfter', () => {
  it.each<[name: string, header: string | null | undefined, serverDate: number | null, expected: number | null]>([
    ['reads whole seconds', '30', null, 30_000],
    ['reads zero as at once', '0', null, 0],
    ['reads fractions, rounded up to whole ms', '1.5005', null, 1_501],
    ['ignores blanks around it', '  7 ', null, 7_000],
    ['takes a negative number for at once', '-5', null, 0],
    ['caps absurd seconds at an hour', '99999999999999999999', null, MAX_RETRY_AFTER_MS],
    ['accepts just under the cap', '3599', null, 3_599_000],
    ['measures a date against our clock', 'Thu, 15 Jan 2026 12:01:00 GMT', null, 60_000],
    [
      'measures a date against the server date where there is one',
      'Thu, 15 Jan 2026 11:31:00 GMT',
      NOW - HOUR,
      HOUR / 2 + 60_000,
    ],
    ['is right although our clock is wrong', 'Thu, 15 Jan 2026 09:00:10 GMT', NOW - 3 * HOUR, 10_000],
    ['takes a date in the past for at once', 'Thu, 15 Jan 2026 11:59:00 GMT', null, 0],
    ['caps a far date at an hour', 'Fri, 15 Jan 2027 12:00:00 GMT', null, MAX_RETRY_AFTER_MS],
    ['reads the old RFC 850 form', 'Thursday, 15-Jan-26 12:00:30 GMT', null, 30_000],
    ['reads the old asctime form as UTC', 'Thu Jan 15 12:00:30 2026', null, 30_000],
    ['ignores the server date for seconds', '10', NOW - HOUR, 10_000],
    ['gives up on words', 'soon', null, null],
    ['gives up on a number with a unit', '30s', null, null],
    ['reads exponents', '1e3', null, 1_000_000],
    ['caps an absurd exponent', '1e20', null, MAX_RETRY_AFTER_MS],
    ['caps digits without end', '9'.repeat(500), null, MAX_RETRY_AFTER_MS],
    ['gives up on hexadecimals', '0x10', null, null],
    ['takes the largest of a repeated header', '5, 10, 7', null, 10_000],
    ['takes the largest of seconds and dates', 'Thu, 15 Jan 2026 12:00:20 GMT, 15', null, 20_000],
    ['takes what is readable of a repeated header', 'soon, 15', null, 15_000],
    ['is not confused by a thousand of them', Array(1000).fill('15').join(', '), null, 15_000],
    ['takes the largest where it is the last of a thousand', `${'1, '.repeat(1000)}60`, null, 60_000],
    ['gives up on an ISO date', '2026-01-15T12:01:00Z', null, null],
    ['gives up on a date that is none', 'Thu, 99 Jan 2026 12:01:00 GMT', null, null],
    ['gives up on nothing', '', null, null],
    ['gives up on null', null, null, null],
    ['gives up on undefined', undefined, null, null],
  ])('%s', (_name, header, serverDate, expected) => {
    expect(parseRetryAfter(header, NOW, serverDate)).toBe(expected);
  });

  it('stays within bounds for any header, clock and server date', () => {
    const header = fc.oneof(
      fc.string(),
      fc.integer().map(String),
      fc.double().map(String),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    );
    const time = fc.integer({ min: 0, max: 4e12 });
    fc.assert(
      fc.property(header, time, fc.option(time), (text, now, server) => {
        const wait = parseRetryAfter(text, now, server);
        return wait === null || (Number.isInteger(wait) && wait >= 0 && wait <= MAX_RETRY_AFTER_MS);
      }),
    );
  });

  it('reads back every date that a server can write', () => {
    const ahead = fc.integer({ min: 0, max: 3600 });
    fc.assert(
      fc.property(ahead, (seconds) => {
        return parseRetryAfter(new Date(NOW + seconds * 1000).toUTCString(), NOW) === seconds * 1000;
      }),
    );
  });
});

describe('parseHttpDate', () => {
  it('takes no number for a date', () => {
    expect(parseHttpDate('-5')).toBeNull();
    expect(parseHttpDate('2026')).toBeNull();
  });
});

describe('backoffMs', () => {
  it('doubles with each attempt up to the cap', () => {
    const ceilings = [1, 2, 3, 4, 5].map((attempt) =>
      backoffMs({ attempt, baseMs: 1000, capMs: 10_000, random: () => 1 }),
    );
    expect(ceilings).toEqual([1000, 2000, 4000, 8000, 10_000]);
  });

  it('keeps every delay between nothing and the cap', () => {
    const options = fc.record({
      attempt: fc.integer({ min: -1, max: 5_000 }),
      baseMs: fc.integer({ min: 0, max: 60_000 }),
      capMs: fc.integer({ min: 0, max: 600_000 }),
      draw: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(options, ({ draw, ...rest }) => {
        const delay = backoffMs({ ...rest, random: () => draw });
        const ceiling = backoffMs({ ...rest, random: () => 1 });
        return Number.isInteger(delay) && delay >= 0 && delay <= ceiling && ceiling <= rest.capMs;
      }),
    );
  });
});
