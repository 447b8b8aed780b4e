import { describe, expect, it } from '@jest/globals';
import { parseRateLimit } from '../../src/http/rate-limit-headers.ts';
import fc from '../helpers/property.ts';

const NOW = Date.UTC(2026, 0, 15, 12);
const parse = (headers: Record<string, string>) => parseRateLimit(headers, NOW, null);
const minute = (requests: number) => ({ requests, windowMs: 60_000 });

describe('what a server says about its limits', () => {
  it.each([
    ['three headers', { 'ratelimit-limit': '100', 'ratelimit-remaining': '50', 'ratelimit-reset': '30' }, 100, null],
    ['two gateways', { 'ratelimit-remaining': '5, 0', 'ratelimit-reset': '9, 40' }, null, 40_000],
    ['nothing left', { 'ratelimit-limit': '100', 'ratelimit-remaining': '0', 'ratelimit-reset': '30' }, 100, 30_000],
    [
      'the older names',
      { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '7' },
      60,
      7000,
    ],
    ['with more hyphens', { 'x-rate-limit-limit': '60', 'x-rate-limit-remaining': '9' }, 60, null],
    ['one header of old', { ratelimit: 'limit=100, remaining=0, reset=12' }, 100, 12_000],
    ['one header of today', { ratelimit: '"default";r=0;t=30', 'ratelimit-policy': '"default";q=90;w=60' }, 90, 30_000],
    [
      'two gateways in a row',
      { 'x-ratelimit-limit': '100, 40', 'x-ratelimit-remaining': '5, 0', 'x-ratelimit-reset': '9' },
      40,
      9000,
    ],
    ['a limit that names its window', { 'ratelimit-limit': '100, 100;w=60', 'ratelimit-remaining': '1' }, 100, null],
    [
      'the moment in seconds',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 20) },
      null,
      20_000,
    ],
    [
      'the moment in milliseconds',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW + 20_000) },
      null,
      20_000,
    ],
    ['a date', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'Thu, 15 Jan 2026 12:00:05 GMT' }, null, 5000],
  ] as const)('%s', (_name, headers, limit, usedUpForMs) => {
    expect(parse(headers)).toEqual({ limit: limit === null ? null : minute(limit), usedUpForMs });
  });

  it('the slowest of several policies counts, in its own window, and only those that count requests', () => {
    const policy = '"burst";q=20;w=1, "hour";q=600;w=3600, "size";q=1;w=60;qu="content-bytes"';
    expect(parse({ 'ratelimit-policy': policy })?.limit).toEqual({ requests: 600, windowMs: 3_600_000 });
  });

  it('a moment is measured by the clock of the server', () => {
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 90) };
    expect(parseRateLimit(headers, NOW, NOW + 60_000)?.usedUpForMs).toBe(30_000);
  });

  it.each([
    ['no number', { 'ratelimit-limit': 'many', 'ratelimit-remaining': 'few', 'ratelimit-reset': 'soon' }],
    ['negative', { 'ratelimit-limit': '-1', 'ratelimit-remaining': '-1', 'ratelimit-reset': '-1' }],
    ['a limit of nought', { 'ratelimit-limit': '0' }],
    ['a reset in years', { 'ratelimit-remaining': '0', 'ratelimit-reset': '99999999' }],
    ['a moment that is over', { 'ratelimit-remaining': '0', 'ratelimit-reset': String(NOW / 1000 - 5) }],
    ['no time', { 'ratelimit-remaining': '0' }],
    ['a limit for nobody knows how long', { 'x-ratelimit-limit': '50', 'x-ratelimit-reset': '3000' }],
    ['empty', { ratelimit: '', 'ratelimit-policy': '' }],
  ] as const)('what is absurd is not there: %s', (_name, headers) => {
    expect(parse(headers)).toEqual({ limit: null, usedUpForMs: null });
  });

  it('a reset hours away is asked about again each hour', () => {
    expect(parse({ 'ratelimit-remaining': '0', 'ratelimit-reset': '40000' })?.usedUpForMs).toBe(3_600_000);
  });

  it('without such headers there is nothing', () => expect(parse({ date: 'x' })).toBeNull());

  it('whatever they hold, the news are within bounds', () => {
    const value = fc.oneof(
      fc.string({ maxLength: 30 }),
      fc.integer().map(String),
      fc.stringMatching(/^[";=,rtqw0-9 .-]{0,40}$/),
    );
    const names = [
      'ratelimit',
      'ratelimit-policy',
      'ratelimit-limit',
      'x-ratelimit-limit',
      'x-ratelimit-remaining',
      'x-ratelimit-reset',
    ];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), (headers) => {
        const { limit, usedUpForMs } = parse(headers) ?? { limit: null, usedUpForMs: null };
        if (limit !== null)
          expect(limit.requests >= 1 && limit.windowMs >= 1000 && limit.windowMs <= 86_400_000).toBe(true);
        if (usedUpForMs !== null) expect(usedUpForMs > 0 && usedUpForMs <= 3_600_000).toBe(true);
      }),
    );
  });
});
