import { afterEach, describe, expect, it } from '@jest/globals';
import { factsOf, type LiveEvent, LiveStatus } from '../../src/ops/live.ts';
import type { StatusDocument } from '../../src/ops/status-document.ts';
import { until } from '../helpers/cli.ts';

/** A page of a few words, each a fragment of its own. */
function setup() {
  let words: Record<string, string> = { a: 'one', b: 'two' };
  let isAway = false;
  let looks = 0;
  let taken = 0;
  const live = new LiveStatus({
    read: async () => {
      looks++;
      if (isAway) throw new Error('the database is away');
      return {} as StatusDocument;
    },
    fragmentsOf: () => {
      taken++;
      return Object.entries(words).map(([id, text]) => ({ id, facts: text, render: () => `<p>${text}</p>` }));
    },
    pollMs: 10,
  });
  opened.push(live);
  return {
    live,
    looks: () => looks,
    taken: () => taken,
    set: (next: Record<string, string>) => {
      words = next;
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
  it('tells only what changed, to all who listen, from one look', async () => {
    const page = setup();
    await page.live.current();
    const listeners = [page.listen(page.live.version), page.listen(page.live.version)];
    const before = page.looks();
    await until('a few looks', () => page.looks() > before + 3);
    expect(listeners.map(({ names }) => names())).toEqual([[], []]);
    page.set({ a: 'one', b: 'three' });
    await until('it is told', () => listeners.every(({ events }) => events.length > 0));
    for (const { events } of listeners) {
      expect(events.map(({ name, data }) => [name, data])).toEqual([
        ['parts', { parts: [{ id: 'b', html: '<p>three</p>' }] }],
      ]);
    }
  });

  it('tells who comes back what changed meanwhile', async () => {
    const page = setup();
    await page.live.current();
    const { version } = page.live;
    page.listen(version).stop();
    page.set({ a: 'new', b: 'two' });
    await page.live.refresh();
    expect(page.listen(version).events).toMatchObject([{ name: 'parts', id: page.live.version }]);
    expect(page.listen(page.live.version).events).toEqual([]);
  });

  it('lets a page be read anew that has other parts, or is of another process', async () => {
    const page = setup();
    await page.live.current();
    const known = page.listen(page.live.version);
    page.set({ a: 'one', b: 'two', c: 'more' });
    await until('it is told', () => known.events.length > 0);
    expect(known.names()).toEqual(['reload']);
    expect(page.listen('0badc0de.7').names()).toEqual(['reload']);
    expect(page.listen(undefined).names()).toEqual(['reload']);
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

  it('takes no look apart while nobody listens, and still tells a page what came after it', async () => {
    const page = setup();
    await page.live.current();
    page.listen(page.live.version).stop();
    const before = page.taken();
    await page.live.refresh();
    const { version } = page.live;
    page.set({ a: 'later', b: 'two' });
    await page.live.refresh();
    await page.live.refresh();
    expect(page.taken()).toBe(before);
    expect(page.listen(version).events).toMatchObject([{ name: 'parts', data: { parts: [{ id: 'a' }] } }]);
    expect(page.listen(page.live.version).events).toEqual([]);
    expect(page.taken()).toBe(before + 1);
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
    const facts = (at: number) => factsOf({ rows: 1, lag_seconds: at, running: { read: 2, eta_seconds: at } });
    expect(facts(1)).toBe(facts(2));
    expect(factsOf({ rows: 1 })).not.toBe(factsOf({ rows: 2 }));
    const told = (at: number) => factsOf({ reason: `"lag_seconds":${at}` });
    expect(told(1)).not.toBe(told(2));
  });
});
