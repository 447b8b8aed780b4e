import { describe, expect, it } from '@jest/globals';
import { busiestWindow, trespasses, useOfLimit } from '../helpers/bench/requests.ts';

const calls = (...times: number[]) => times.map((at) => ({ at, status: 200 }));

describe('what a log says about a client', () => {
  it('counts the busiest window wherever it begins, in whatever order the log is', () => {
    expect(busiestWindow(calls(0, 10, 59, 60, 61, 70), 60)).toBe(4);
    expect(busiestWindow(calls(70, 61, 0, 60, 59, 10), 60)).toBe(4);
    expect(busiestWindow([], 60)).toBe(0);
  });

  it('counts refusals as requests, but not as use', () => {
    const log = [...calls(0, 10, 20, 30), { at: 15, status: 429 }, { at: 100, status: 200 }];
    const use = useOfLimit(log, { fromMs: 0, toMs: 40, perWindow: 5, windowMs: 20 });
    expect(use).toEqual({ requests: 5, refused: 1, used: 0.4 });
  });

  it('tells who came inside a Retry-After from who was under way when it was sent', () => {
    const log = [...calls(0, 130, 400, 1100, 1101), { at: 100, status: 429, retryAfterMs: 1000 }];
    expect(trespasses(log, 50)).toEqual({ hints: 1, underWay: 1, inside: 1, afterMs: [300] });
  });

  it('lets the longer of two Retry-Afters count, and who is inside both of them once', () => {
    const log = [
      { at: 0, status: 503, retryAfterMs: 1000 },
      { at: 500, status: 503, retryAfterMs: 100 },
      ...calls(700, 1000),
    ];
    expect(trespasses(log, 50)).toEqual({ hints: 2, underWay: 0, inside: 2, afterMs: [500, 700] });
  });
});
