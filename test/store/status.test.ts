import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readStatus, type StreamStatus } from '../../src/store/reports/status.ts';
import { type Store, setupStore } from './support.ts';

/** The view `sync.status`, fed with facts as the engine leaves them behind: minutes ago, in the order of the lines. */
let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query(
    'truncate sync.streams, sync.checkpoints, sync.runs, sync.quarantine, sync.verifications restart identity',
  );
  await addStream('leads');
});

const ACCOUNT = 'tiledesk:a';

const addStream = (stream: string, connection = ACCOUNT) =>
  store.query(
    `insert into sync.streams (connection_id, stream, created_at) values ($1, $2, now() - interval '9 days')`,
    [connection, stream],
  );

interface RunFacts {
  readonly stream?: string;
  readonly connection?: string;
  readonly created?: number;
  readonly watermark?: string;
  readonly newestChange?: string;
}

type Ended = 'succeeded' | 'partial' | 'failed' | 'postponed' | 'cancelled';

/** A run that ended so many minutes ago and took one, and the checkpoint that it leaves behind. */
async function run(pass: string, minutesAgo: number, outcome: Ended, code: string | null = null, facts: RunFacts = {}) {
  const { stream = 'leads', connection = ACCOUNT, created = 0, watermark = null } = facts;
  const { newestChange = null } = facts;
  const marks = watermark === null ? null : JSON.stringify({ all: watermark });
  await store.query(
    `insert into sync.runs (connection_id, stream, pass, outcome, error_code, error_message, created, watermark, started_at, ended_at)
     values ($1, $2, $3, $4, $5, 'message of ' || $5, $7, $8, now() - make_interval(mins => $6 + 1), now() - make_interval(mins => $6))`,
    [connection, stream, pass, outcome, code, minutesAgo, created, marks],
  );
  const isComplete = outcome === 'succeeded' || code === 'quarantined';
  await store.query(
    `insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at, watermark, newest_change)
     values ($1, $2, $3, now() - make_interval(mins => $4 + 1), case when $5 then now() - make_interval(mins => $4) end, $6, $7)
     on conflict (connection_id, stream, pass) do update set started_at = excluded.started_at,
       completed_at = coalesce(excluded.completed_at, checkpoints.completed_at),
       watermark = coalesce(excluded.watermark, checkpoints.watermark), newest_change = excluded.newest_change`,
    [connection, stream, pass, minutesAgo, isComplete, marks, newestChange],
  );
}

const prove = (minutesAgo: number, differing: number, repaired = 0) =>
  store.query(
    `insert into sync.verifications (connection_id, stream, verified_at, upstream_rows, compared_rows, missing, stale, extra, different, repaired, started_at)
     values ($1, 'leads', now() - make_interval(mins => $2), 200, 50, $3, 0, 0, 0, $4, now() - make_interval(mins => $2 + 1))`,
    [ACCOUNT, minutesAgo, differing, repaired],
  );

async function statusOf(stream = 'leads', connection = ACCOUNT): Promise<StreamStatus> {
  const found = (await readStatus(store.prisma)).find(
    (line) => line.stream === stream && line.connection_id === connection,
  );
  if (found === undefined) throw new Error(`${stream} has no status`);
  return found;
}

const minutesSince = ({ since }: StreamStatus) => Math.round((Date.now() - (since?.getTime() ?? 0)) / 60_000);

const codeOf = async (): Promise<string> => (await statusOf()).reason_code;

/** State, minutes since when, and why. */
async function seen(stream?: string, connection?: string) {
  const line = await statusOf(stream, connection);
  return [line.state, minutesSince(line), line.reason];
}

/** A stream in good order: read whole two days ago, walked in full last night, looked at five minutes ago. */
async function inGoodOrder(facts: RunFacts = {}) {
  await run('backfill', 2880, 'succeeded', null, facts);
  await run('reconcile', 600, 'succeeded', null, facts);
  await run('incremental', 5, 'succeeded', null, facts);
}

it('a stream in good order is fresh, and was never proved', async () => {
  await inGoodOrder();
  expect(await statusOf()).toMatchObject({
    state: 'fresh',
    ...{ verified_at: null, verified_rows: null, verified_share: null, verification_differences: null },
  });
});

it('a stream without a run is never, and one whose first read stopped is partial with that reason', async () => {
  expect((await seen())[0]).toBe('never');
  expect(await codeOf()).toBe('no_run');
  await run('backfill', 3, 'partial', 'walk_gave_up');
  expect(await codeOf()).toBe('walk_gave_up');
  expect(await seen()).toEqual(['partial', 3, 'the first full read is not finished: message of walk_gave_up']);
});

describe('what a full sync met', () => {
  it.each([
    ['deletion_brake', 'partial', 'partial'],
    ['deletions_unconfirmed', 'partial', 'partial'],
    ['walk_gave_up', 'partial', 'partial'],
    ['suddenly_empty', 'partial', 'partial'],
    ['suddenly_empty', 'failed', 'blocked'],
    ['not_sorted', 'failed', 'blocked'],
  ] as const)(
    '%s (%s) shows at once as %s, and outlives the incremental passes after it',
    async (code, outcome, state) => {
      await inGoodOrder();
      await run('reconcile', 3, outcome, code);
      expect(await seen()).toEqual([state, 3, `message of ${code}`]);
      await run('incremental', 2, 'succeeded');
      await run('incremental', 0, 'succeeded');
      expect(await seen()).toEqual([state, 3, `message of ${code}`]);
      expect(await codeOf()).toBe(code);
    },
  );

  it('holds through walks that were postponed, stopped, or ended by weather, until one succeeds', async () => {
    await inGoodOrder();
    await run('reconcile', 50, 'partial', 'deletion_brake');
    await run('reconcile', 40, 'postponed', 'rate_limited');
    await run('reconcile', 30, 'cancelled', 'stopped');
    await run('reconcile', 20, 'failed', 'network');
    await run('incremental', 10, 'succeeded');
    expect(await seen()).toEqual(['partial', 50, 'message of deletion_brake']);
    await run('reconcile', 5, 'succeeded');
    await run('incremental', 1, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
  });

  it('has held since the first walk that met it', async () => {
    await inGoodOrder();
    for (const minutesAgo of [300, 200, 100]) await run('reconcile', minutesAgo, 'partial', 'deletion_brake');
    expect(await seen()).toEqual(['partial', 300, 'message of deletion_brake']);
  });

  it('is not taken for proof: as of is the last pass that ended complete', async () => {
    await run('backfill', 2880, 'succeeded');
    await run('reconcile', 600, 'succeeded');
    await run('reconcile', 3, 'partial', 'deletion_brake');
    expect((await statusOf()).as_of?.getTime() ?? 0).toBeLessThan(Date.now() - 2000 * 60_000);
  });

  it('in another first read is settled by a complete reconcile', async () => {
    await inGoodOrder();
    await run('backfill', 4, 'failed', 'unexpected_shape');
    expect((await seen())[0]).toBe('blocked');
    await run('reconcile', 2, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
  });
});

describe('what an incremental pass met', () => {
  it('holds until one ends complete; a full sync does not settle it', async () => {
    await inGoodOrder();
    await run('incremental', 4, 'partial', 'walk_gave_up');
    await run('reconcile', 3, 'succeeded');
    expect(await seen()).toEqual(['partial', 4, 'message of walk_gave_up']);
    await run('incremental', 1, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
  });

  it('an empty list where rows were blocks at once, and a complete full sync settles it', async () => {
    await inGoodOrder();
    await run('incremental', 4, 'failed', 'suddenly_empty');
    expect(await seen()).toEqual(['blocked', 4, 'message of suddenly_empty']);
    await run('reconcile', 2, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
  });

  it('outweighs what a full sync left open', async () => {
    await inGoodOrder();
    await run('reconcile', 60, 'partial', 'deletion_brake');
    await run('incremental', 4, 'failed', 'not_json');
    expect(await seen()).toEqual(['blocked', 4, 'message of not_json']);
  });

  it('a failure without a code blocks too', async () => {
    await inGoodOrder();
    await run('incremental', 4, 'failed');
    expect(await seen()).toEqual(['blocked', 4, 'the last incremental pass could not be completed']);
  });
});

describe('weather', () => {
  it.each(['network', 'timeout', 'upstream_unavailable', 'upstream_garbled', 'database_unavailable'])(
    '%s makes a stream stale by time only',
    async (code) => {
      await inGoodOrder();
      await run('incremental', 1, 'failed', code);
      expect((await seen())[0]).toBe('fresh');
      await store.query(`update sync.streams set fresh_within_seconds = 60`);
      expect(await seen()).toEqual(['stale', 5, `no complete pass in time: message of ${code}`]);
      expect(await codeOf()).toBe(code);
      await run('incremental', 5, 'succeeded');
      expect(await codeOf()).toBe('overdue');
    },
  );

  it('that has kept every full sync from its end for more than a day makes a stream stale', async () => {
    await inGoodOrder();
    await run('reconcile', 500, 'failed', 'timeout');
    await run('incremental', 1, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
    await store.query(`update sync.runs set ended_at = ended_at - interval '1 day' where pass = 'reconcile'`);
    await store.query(
      `update sync.checkpoints set completed_at = completed_at - interval '1 day' where pass = 'reconcile'`,
    );
    expect(await seen()).toEqual(['stale', 1940, 'full syncs have failed for more than a day: message of timeout']);
    await run('reconcile', 0, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
  });
});

describe('a refused account', () => {
  const STREAMS = ['leads', 'requests', 'departments'];
  beforeEach(async () => {
    for (const stream of STREAMS.slice(1)) await addStream(stream);
    await addStream('leads', 'tiledesk:b');
    for (const stream of STREAMS) await inGoodOrder({ stream });
    await inGoodOrder({ connection: 'tiledesk:b' });
  });

  it.each(['auth_failed', 'auth_role', 'auth_not_member', 'project_not_found', 'wrong_base_url'])(
    '%s of one run blocks all of its streams, and no other account’s',
    async (code) => {
      await run('incremental', 1, 'failed', code, { stream: 'requests' });
      for (const stream of STREAMS) expect(await seen(stream)).toEqual(['blocked', 1, `message of ${code}`]);
      expect(await codeOf()).toBe(code);
      expect((await seen('leads', 'tiledesk:b'))[0]).toBe('fresh');
    },
  );

  it('stays blocked while the weather is bad or the upstream asks to wait', async () => {
    await run('incremental', 4, 'failed', 'auth_failed', { stream: 'requests' });
    await run('incremental', 2, 'failed', 'network', { stream: 'departments' });
    await run('incremental', 1, 'postponed', 'rate_limited', { stream: 'leads' });
    for (const stream of STREAMS) expect((await seen(stream))[0]).toBe('blocked');
  });

  it('is taken back by the next complete pass, whatever pass met it', async () => {
    await run('reconcile', 4, 'failed', 'auth_failed', { stream: 'requests' });
    await run('incremental', 1, 'succeeded', null, { stream: 'requests' });
    for (const stream of STREAMS) expect((await seen(stream))[0]).toBe('fresh');
  });
});

describe('records in quarantine', () => {
  const setAside = () =>
    store.query(
      `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id, first_seen_at)
       values ($1, 'leads', 'x', 'no_id', '{}', 1, now() - interval '7 minutes')`,
      [ACCOUNT],
    );

  it('make a stream partial while they are there, and not longer', async () => {
    await inGoodOrder();
    await run('reconcile', 7, 'partial', 'quarantined');
    await setAside();
    expect(await seen()).toEqual(['partial', 7, '1 record is in quarantine']);
    expect(await codeOf()).toBe('open_quarantine');
    await store.query('update sync.quarantine set resolved_at = now()');
    expect((await seen())[0]).toBe('fresh');
  });

  it('do not keep a walk from settling what an earlier one met', async () => {
    await inGoodOrder();
    await run('reconcile', 60, 'partial', 'deletion_brake');
    await run('reconcile', 7, 'partial', 'quarantined');
    expect((await seen())[0]).toBe('fresh');
  });
});

describe('a watermark that stands still', () => {
  const OLD = '2026-01-01T00:00:00.000Z';
  const NEW = '2026-01-02T00:00:00.000Z';
  const reason =
    'the last full sync found 3 new rows, and the watermark has not moved since: incremental passes may not be shown what changes';

  beforeEach(async () => {
    await run('backfill', 2880, 'succeeded');
    await run('incremental', 100, 'succeeded', null, { watermark: OLD });
  });
  const fullSync = (created: number) => run('reconcile', 60, 'succeeded', null, { created });

  it('although a full sync found new rows, is not fresh once an incremental pass came after it', async () => {
    await fullSync(3);
    expect((await seen())[0]).toBe('stale');
    await run('incremental', 4, 'succeeded', null, { watermark: OLD });
    expect(await seen()).toEqual(['partial', 60, reason]);
    await run('incremental', 1, 'succeeded', null, { watermark: NEW });
    expect((await seen())[0]).toBe('fresh');
  });

  it('is well where the full sync found nothing new', async () => {
    await fullSync(0);
    await run('incremental', 4, 'succeeded', null, { watermark: OLD });
    expect((await seen())[0]).toBe('fresh');
  });

  it('although a full sync met later changes of rows that are there, is not fresh either', async () => {
    await run('reconcile', 60, 'succeeded', null, { newestChange: NEW });
    await run('incremental', 4, 'succeeded', null, { watermark: OLD });
    expect(await seen()).toEqual([
      'partial',
      60,
      'the last full sync saw changes as late as 2026-01-02 00:00:00 UTC, and the watermark has not come so far since: incremental passes may not be shown what changes',
    ]);
    await run('incremental', 1, 'succeeded', null, { watermark: NEW });
    expect((await seen())[0]).toBe('fresh');
  });

  it('is well where the full sync met nothing later, and while another one is under way', async () => {
    await run('reconcile', 3, 'succeeded', null, { newestChange: OLD });
    await run('incremental', 1, 'succeeded', null, { watermark: OLD });
    expect((await seen())[0]).toBe('fresh');
    await store.query(`update sync.checkpoints set newest_change = now(), cursor = '{}' where pass = 'reconcile'`);
    expect((await seen())[0]).toBe('fresh');
  });

  it('says nothing where the stream is known to be read in a weaker way, or has no watermark', async () => {
    await fullSync(3);
    await run('incremental', 4, 'succeeded', null, { watermark: OLD });
    await store.query(`update sync.streams set notice = 'only full syncs find new rows'`);
    expect((await seen())[0]).toBe('fresh');
    await store.query('update sync.streams set notice = null');
    await store.query(`update sync.checkpoints set watermark = '{}' where pass = 'incremental'`);
    await store.query(`update sync.runs set watermark = '{}' where pass = 'incremental'`);
    expect((await seen())[0]).toBe('fresh');
  });
});

describe('a proof', () => {
  it('is shown with its share and what it left open', async () => {
    await inGoodOrder();
    await prove(120, 3, 3);
    expect(await statusOf()).toMatchObject({
      state: 'fresh',
      verified_rows: 200n,
      verified_share: 0.25,
      verification_differences: 0,
    });
  });

  it('of an empty stream is whole', async () => {
    await prove(120, 0);
    await store.query('update sync.verifications set upstream_rows = 0, compared_rows = 0');
    expect(await statusOf()).toMatchObject({ verified_rows: 0n, verified_share: 1 });
  });

  it('that found differences makes a stream partial until a full sync began after it and ended complete', async () => {
    await inGoodOrder();
    await prove(20, 3, 1);
    expect(await seen()).toEqual(['partial', 20, '2 rows differ from the upstream, as the last verify found']);
    expect(await codeOf()).toBe('verify_differences');
    await run('reconcile', 10, 'succeeded');
    await store.query(
      `update sync.checkpoints set started_at = now() - interval '30 minutes' where pass = 'reconcile'`,
    );
    expect((await seen())[0]).toBe('partial');
    await run('reconcile', 3, 'succeeded');
    expect((await seen())[0]).toBe('fresh');
  });

  it('under way is the running pass', async () => {
    await inGoodOrder();
    await store.query(
      `insert into sync.checkpoints (connection_id, stream, pass, lease_until) values ($1, 'leads', 'verify', now() + interval '1 hour')`,
      [ACCOUNT],
    );
    expect((await statusOf()).running_pass).toBe('verify');
  });
});
