import { afterEach, describe, expect, it } from '@jest/globals';
import { type LiveEvent, LiveStatus, versionOf } from '../../src/ops/live.ts';
import type { StatusDocument } from '../../src/ops/status-document.ts';
import { until } from '../helpers/cli.ts';

const statusOf = (facts: object): StatusDocument =>
  ({ generated_at: new Date(), streams: [], processes: [], ...facts }) as unknown as StatusDocument;

/** A status of one word. */
function setup(first = 'one') {
  let word = first;
  let isAway = false;
  let looks = 0;
  const live = new LiveStatus({
    read: async () => {
      looks++;
      if (isAway) throw new Error('the database is away');
      return statusOf({ word });
    },
    pollMs: 10,
  });
  opened.push(live);
  return {
    live,
    looks: () => looks,
    set: (next: string) => {
      word = next;
    },
    away: (next: boolean) => {
      isAway = next;
    },
    listen(version: string | undefined) {
      const events: LiveEvent[] = [];
      const stop = live.subscribe((event) => events.push(event), version);
      return { events, stop, names: () => events.map(({ name }) => name) };
    },
  };
}

const opened: LiveStatus[] = [];
afterEach(() => {
  for (const live of opened.splice(0)) live.close();
});

describe('the live page', () => {
  it('tells that something changed, once, to all who listen, from one look', async () => {
    const page = setup();
    await page.live.current();
    const listeners = [page.listen(page.live.version), page.listen(page.live.version)];
    const before = page.looks();
    await until('a few looks', () => page.looks() > before + 3);
    expect(listeners.map(({ names }) => names())).toEqual([[], []]);
    page.set('two');
    await until('it is told', () => listeners.every(({ events }) => events.length > 0));
    const after = page.looks();
    await until('a few more looks', () => page.looks() > after + 3);
    for (const { events } of listeners) expect(events).toEqual([{ name: 'changed', id: page.live.version }]);
  });

  it('tells who comes back whether something changed meanwhile', async () => {
    const page = setup();
    await page.live.current();
    const { version } = page.live;
    page.listen(version).stop();
    page.set('two');
    await page.live.refresh();
    expect(page.listen(version).events).toEqual([{ name: 'changed', id: page.live.version }]);
    expect(page.listen(page.live.version).events).toEqual([]);
    page.set('one');
    await page.live.refresh();
    expect(page.listen(version).events).toEqual([]);
  });

  it('knows whether a page of another process is behind', async () => {
    const [page, other, later] = [setup(), setup(), setup('two')];
    for (const { live } of [page, other, later]) await live.current();
    expect(page.listen(other.live.version).names()).toEqual([]);
    expect(page.listen(later.live.version).names()).toEqual(['changed']);
    expect(page.listen(undefined).names()).toEqual(['changed']);
  });

  it('says once that the database is away, and once that it is back', async () => {
    const page = setup();
    await page.live.current();
    const { names } = page.listen(page.live.version);
    page.away(true);
    await until('it is said', () => names().length > 0);
    const before = page.looks();
    await until('a few looks', () => page.looks() > before + 3);
    page.away(false);
    await until('it is back', () => names().length > 1);
    expect(names()).toEqual(['trouble', 'steady']);
  });

  it('remembers the last state while the database is away, and since when', async () => {
    const page = setup();
    page.away(true);
    await expect(page.live.lookOrRemember()).rejects.toThrow();
    page.away(false);
    const status = await page.live.current();
    page.away(true);
    const before = new Date();
    await page.live.refresh();
    const look = await page.live.lookOrRemember();
    expect(look).toEqual({ status, away: { error: expect.anything(), since: expect.any(Date) } });
    expect(look.away?.since.getTime()).toBeGreaterThanOrEqual(before.getTime());
    page.away(false);
    await page.live.refresh();
    expect((await page.live.lookOrRemember()).away).toBeNull();
  });

  it('asks nothing while nobody listens', async () => {
    const page = setup();
    await page.live.current();
    const { stop } = page.listen(page.live.version);
    await until('it looks', () => page.looks() > 2);
    stop();
    await page.live.refresh();
    const before = page.looks();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(page.looks()).toBe(before);
  });

  it('does not count the passing of time as a change', () => {
    const facts = (at: number) =>
      versionOf(
        statusOf({ generated_at: new Date(at), rows: 1, lag_seconds: at, running: { read: 2, eta_seconds: at } }),
      );
    expect(facts(1)).toBe(facts(2));
    expect(versionOf(statusOf({ rows: 1 }))).not.toBe(versionOf(statusOf({ rows: 2 })));
    const told = (at: number) => versionOf(statusOf({ reason: `"lag_seconds":${at}` }));
    expect(told(1)).not.toBe(told(2));
  });

  it('counts it as one when a pass has been under way for so long that its progress is shown', () => {
    const streams = [{ running: { started_at: new Date(10_000) } }];
    const at = (ms: number) => versionOf(statusOf({ generated_at: new Date(10_000 + ms), streams }));
    expect(at(100)).toBe(at(2_000));
    expect(at(2_000)).not.toBe(at(3_500));
  });
});
