import { afterEach, describe, expect, it } from '@jest/globals';
import { Random } from '../../sandbox/random.ts';
import type { TiledeskData } from '../../sandbox/tiledesk.ts';
import { ensureHistory, stopHistory } from '../../src/store/mirror/history.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { withClient } from '../helpers/postgres.ts';
import { seed as propertySeed } from '../helpers/property.ts';

/**
 * Some time around a midnight, minute by minute: conversations come, are taken, closed and opened again, and the
 * mirror looks every 1, 5 or 60 minutes. What the reports state is compared with the sandbox's own log of each change.
 */
const MINUTE = 60_000;
const MIDNIGHT = Date.UTC(2026, 4, 12);

interface Entry {
  readonly at: number;
  readonly status: number;
}

/** Each change of a status as it happened. */
type Log = Map<string, Entry[]>;

let mirror: MirrorSetup | null = null;
afterEach(async () => {
  await mirror?.close();
  mirror = null;
});

function changeSomething(data: TiledeskData, random: Random, at: number, log: Log): void {
  const note = (id: string) => {
    const entries = log.get(id) ?? [];
    const status = data.requests.get(id)?.status ?? 0;
    if (entries.at(-1)?.status !== status)
      entries.push({ at: Date.parse(String(data.requests.get(id)?.updatedAt)), status });
    log.set(id, entries);
  };
  const ids = [...log.keys()];
  const id = ids.length === 0 || random.chance(0.2) ? null : random.pick(ids);
  if (id === null) {
    const made = data.insertRequest(
      { status: 100, preflight: false, draft: false, participants: [], participantsAgents: [], closed_at: undefined },
      at,
    );
    log.set(made._id, [{ at: Date.parse(String(made.createdAt)), status: 100 }]);
    return;
  }
  const status = data.requests.get(id)?.status;
  const agent = random.pick(data.team.agentIds);
  if (random.chance(0.3)) data.writeMessage(id, 'hello', at);
  else if (status === 100)
    data.touchRequest(
      id,
      { status: 200, participants: [agent], participantsAgents: [agent], assigned_at: new Date(at).toISOString() },
      at,
    );
  else if (status === 200 && random.chance(0.5))
    data.touchRequest(id, { status: 100, participants: [], participantsAgents: [] }, at);
  else if (status === 200) {
    // The status changes with the first of three writes.
    data.closeRequest(id, { at, write: 1 });
    note(id);
    data.closeRequest(id, { at });
  } else data.reopenRequest(id, at);
  note(id);
}

async function play(everyMinutes: number, minutes: number) {
  const start = MIDNIGHT - Math.floor(minutes / 2) * MINUTE;
  const seed = everyMinutes * propertySeed;
  mirror = await setupMirror(
    { leads: 5, requests: 1, now: start - MINUTE, seed },
    { SYNC_HISTORY_STREAMS: 'tiledesk.requests' },
  );
  const { sandbox, database } = mirror;
  const ask = <T>(text: string) => withClient(database.url, async (client) => (await client.query(text)).rows as T[]);
  const random = new Random(seed);
  const log: Log = new Map();
  // A draft from before, which counts nowhere: the first full read of an empty list would begin at the server's clock of today.
  for (const { _id } of sandbox.data.requests.values())
    sandbox.data.touchRequest(_id, { draft: true, status: 1000 }, start - MINUTE);
  await mirror.syncAll();
  for (let minute = start; minute < start + minutes * MINUTE; minute += MINUTE) {
    for (let n = 0; n < 3; n++) {
      changeSomething(sandbox.data, random, minute + n * 17_000 + random.int(1, 900), log);
    }
    if ((minute - start) % (everyMinutes * MINUTE) === 0) {
      expect(await mirror.run('requests', 'incremental')).toMatchObject({ outcome: 'succeeded' });
      if (random.chance(0.5)) await ask('select reporting.refresh()');
    }
  }
  expect(await mirror.run('requests', 'incremental')).toMatchObject({ outcome: 'succeeded' });
  await ask('select reporting.refresh()');
  return { log, ask };
}

const statusAt = (entries: readonly Entry[], at: number): number | undefined =>
  entries.findLast((entry) => entry.at <= at)?.status;
const isOpen = (status: number | undefined): boolean => status === 100 || status === 200;

/** Milliseconds with this status until then. */
function timeIn(entries: readonly Entry[], status: number, until: number): number {
  return entries.reduce(
    (sum, entry, index) => sum + (entry.status === status ? (entries[index + 1]?.at ?? until) - entry.at : 0),
    0,
  );
}

type Ask = <T>(text: string) => Promise<T[]>;

/** What the refreshes made of the versions as they came is what one makes of all of them. */
async function expectAsComputedAnew(ask: Ask): Promise<void> {
  const stored = async () => ({
    states: await ask('select * from reporting.request_states order by connection_id, id, seq'),
    days: await ask('select * from reporting.backlog_daily order by connection_id, day, department_id, channel'),
  });
  const before = await stored();
  expect(before.days.length).toBeGreaterThan(0);
  await ask(
    "select reporting.refresh_backlog(null, null, true, time_zone) from reporting.settings where connection_id = '*'",
  );
  expect(await stored()).toEqual(before);
}

interface Times {
  readonly id: string;
  readonly unassigned_ms_least: string;
  readonly unassigned_ms_most: string;
  readonly assigned_ms_least: string;
  readonly assigned_ms_most: string;
  readonly reopened: string;
  readonly as_of: Date;
}

describe.each([
  [1, 40],
  [5, 120],
  [60, 240],
])('looked at every %i minutes', (everyMinutes, span) => {
  it('the reports from versions never leave the intervals that they state', async () => {
    const { log, ask } = await play(everyMinutes, span);
    await expectAsComputedAnew(ask);

    const [backlog] = await ask<Record<'open' | 'open_least' | 'open_most' | 'closed' | 'reopened', number>>(
      `select sum(open)::int as open, sum(open_least)::int as open_least, sum(open_most)::int as open_most from reporting.backlog_daily where day = '2026-05-11'`,
    );
    const trueOpen = [...log.values()].filter((entries) => isOpen(statusAt(entries, MIDNIGHT))).length;
    expect(trueOpen).toBeGreaterThan(5);
    expect(backlog?.open_least).toBeLessThanOrEqual(trueOpen);
    expect(backlog?.open_most).toBeGreaterThanOrEqual(trueOpen);
    expect(backlog?.open).toBeGreaterThanOrEqual(backlog?.open_least ?? 0);
    expect(backlog?.open).toBeLessThanOrEqual(backlog?.open_most ?? 0);

    const times = await ask<Times>(
      'select * from reporting.status_times where id not in (select id from tiledesk.requests where draft)',
    );
    expect(times).toHaveLength(log.size);
    const outside: unknown[] = [];
    let width = 0;
    for (const line of times) {
      const entries = log.get(line.id) ?? [];
      const until = line.as_of.getTime();
      for (const [name, status] of [
        ['unassigned', 100],
        ['assigned', 200],
      ] as const) {
        const [least, most] = [Number(line[`${name}_ms_least`]), Number(line[`${name}_ms_most`])];
        const really = timeIn(entries, status, until);
        if (really < least - 1 || really > most + 1) outside.push({ ...line, name, least, really, most, entries });
        width += most - least;
      }
      const reopenings = entries.filter(
        (entry, index) => entries[index - 1]?.status === 1000 && isOpen(entry.status),
      ).length;
      if (Number(line.reopened) > reopenings) outside.push({ ...line, reopenings });
    }
    expect(outside).toEqual([]);
    // Something is stated: less than the whole time is open.
    expect(width / times.length / 2).toBeLessThan(span * MINUTE);

    for (const minutes of [5, 20, 45]) {
      const lines = await ask<{ id: string; outcome: string }>(
        `select id, outcome from reporting.sla(interval '${minutes} minutes')`,
      );
      const wrong = lines.filter(({ id, outcome }) => {
        const entries = log.get(id) ?? [];
        const closed = entries.find(({ status }) => status === 1000)?.at ?? Number.POSITIVE_INFINITY;
        const isMet = closed - (entries[0]?.at ?? 0) <= minutes * MINUTE;
        return outcome !== 'undecided' && isMet !== (outcome === 'met');
      });
      expect(lines.length).toBe(log.size);
      expect(wrong).toEqual([]);
      if (everyMinutes < 60) expect(lines.filter(({ outcome }) => outcome === 'met').length).toBeGreaterThan(0);
    }
  });
});

describe('what is kept of the versions', () => {
  it('moves with the time zone, and ends with them', async () => {
    const { ask } = await play(5, 60);
    const [{ count } = { count: 0 }] = await ask<{ count: number }>(
      'select count(*)::int from reporting.request_states',
    );
    expect(count).toBeGreaterThan(5);
    const days = () =>
      ask<{ day: string }>('select distinct day::text from reporting.backlog_daily where open > 0 order by 1');
    expect((await days())[0]).toEqual({ day: '2026-05-11' });
    await ask(
      "insert into reporting.settings select id, 'Asia/Tokyo' from (select distinct connection_id as id from tiledesk.requests) r",
    );
    await ask('select reporting.refresh()');
    expect((await days())[0]).toEqual({ day: '2026-05-12' });
    await expectAsComputedAnew(ask);

    // As forget --delete-rows does.
    const [{ id } = { id: '' }] = await ask<{ id: string }>(
      'select id from reporting.request_states order by seq desc',
    );
    await ask(`delete from tiledesk.requests_history where id = '${id}'`);
    await ask('select reporting.refresh()');
    expect(await ask(`select from reporting.request_states where id = '${id}'`)).toEqual([]);
    expect(await ask('select from reporting.removed_requests')).toEqual([]);
    await expectAsComputedAnew(ask);

    // As when old partitions are dropped, or an account is erased.
    await ask('delete from tiledesk.requests_history where seq <= (select min(seq) from reporting.request_states)');
    await ask('select reporting.refresh()');
    await expectAsComputedAnew(ask);
    if (mirror === null) throw new Error('no mirror');
    const { app } = mirror;
    await stopHistory(app.database, ['tiledesk.requests']);
    expect(await days()).toEqual([]);
    const times = 'select from reporting.status_times';
    expect(await ask(`${times} union all select from reporting.sla(interval '1 day')`)).toEqual([]);
    await ask('select reporting.refresh()');
    const kept = 'select from reporting.request_states union all select from reporting.backlog_changes';
    expect(await ask(kept)).toEqual([]);
    const tables = app.connections.flatMap(({ streams }) => streams.map(({ table }) => table));
    await ensureHistory(app.database, tables, ['tiledesk.requests']);
    await ask('select reporting.refresh()');
    await expectAsComputedAnew(ask);
  });
});
