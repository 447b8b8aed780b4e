import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { refreshAfter } from '../../src/cli/sync.ts';
import { silentLogger } from '../../src/logger.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { refreshReporting, setReportSettings } from '../../src/store/reports/refresh.ts';
import { ReportRefresher } from '../../workers/report-refresher.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

interface Setup {
  readonly test: TestDatabase;
  readonly database: Database;
  /** The one that refreshes and asks, and one that writes meanwhile. */
  readonly reader: pg.Client;
  readonly writer: pg.Client;
}

let setup: Setup;
const opened: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  const test = await createTestDatabase();
  const database = createDatabase({ url: test.url, logger: silentLogger() });
  setup = { test, database, reader: await connect(test.url), writer: await connect(test.url) };
  opened.unshift(() => database.close());
});
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
  await setup.test.drop();
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  opened.push(() => client.end());
  return client;
}

const refresh = async (client = setup.reader): Promise<string> =>
  (await client.query('select reporting.refresh() as outcome')).rows[0].outcome;

/** A page as a run writes it: one statement, stamped with the beginning of its transaction. */
const insertPage = (client: pg.Client, prefix: string, rows = 50) =>
  client.query(
    `insert into tiledesk.requests (connection_id, id, status, lead_id, created_at, raw, content_hash, run_id, synced_at)
     select 'tiledesk:p', $1 || g, 200, 'l' || g, '2026-03-01T10:00:00Z', '{}', md5(g::text), 1, now() from generate_series(1, $2::int) g`,
    [prefix, rows],
  );

const opens = async (client = setup.reader): Promise<number> =>
  Number(
    (await client.query('select coalesce(sum(opened), 0) as opened from reporting.requests_daily')).rows[0].opened,
  );

describe('a refresh', () => {
  it('reads whole pages only, and those that commit after a younger one too', async () => {
    const { writer, reader, test } = setup;
    await refresh();
    await writer.query('begin');
    await insertPage(writer, 'late');
    const began = (await writer.query('select now() as at')).rows[0].at as Date;
    const younger = await connect(test.url);
    await insertPage(younger, 'early');

    expect(await refresh()).toBe('refreshed');
    expect(await opens()).toBe(50);
    const { rows } = await reader.query('select read_from from reporting.refreshes');
    // The page under way is stamped later than what the next refresh reads from, however long it takes.
    expect((rows[0].read_from as Date).getTime()).toBeLessThanOrEqual(began.getTime() - 60_000 + 1);
    await refresh();
    await writer.query('commit');

    await refresh();
    expect(await opens()).toBe(100);
  });

  it('begins no later than the oldest transaction, were it hours old', async () => {
    const { writer, reader } = setup;
    await writer.query('begin');
    await writer.query('select 1');
    const { rows } = await reader.query(
      `select reporting.write_horizon() <= (select min(xact_start) from pg_stat_activity where pid = $1) as is_before`,
      [(writer as unknown as { processID: number }).processID],
    );
    expect(rows[0].is_before).toBe(true);
  });

  it('allows an hour to a session that may write and tells it nothing', async () => {
    const { reader, test } = setup;
    const name = `w${test.url.slice(-12)}`;
    for (const role of [`${name}_own`, `${name}_other`])
      await reader.query(`create role "${role}" login password 'made-up'`);
    opened.push(async () => {
      const client = new pg.Client({ connectionString: test.url });
      await client.connect();
      for (const role of [`${name}_own`, `${name}_other`])
        await client.query(`drop owned by "${role}"; drop role "${role}"`);
      await client.end();
    });
    const as = async (role: string) => {
      const url = new URL(test.url);
      [url.username, url.password] = [role, 'made-up'];
      const client = new pg.Client({ connectionString: url.href });
      await client.connect();
      opened.unshift(() => client.end());
      return client;
    };
    await reader.query(
      `grant usage on schema reporting, tiledesk to "${name}_own"; grant usage on schema tiledesk to "${name}_other"`,
    );
    const [own] = [await as(`${name}_own`), await as(`${name}_other`)];
    const lag = async () =>
      (await own.query('select extract(epoch from clock_timestamp() - reporting.write_horizon())::float8 as seconds'))
        .rows[0].seconds;
    // The sessions of this test's owner may write; apart from them, only reading ones are there.
    expect(await lag()).toBeGreaterThan(3_600);
    await reader.query(`grant pg_read_all_stats to "${name}_own"`);
    expect(await lag()).toBeLessThan(600);
  });

  it('holds up no writer, and is seen at once when it commits', async () => {
    const { reader, writer, test } = setup;
    await insertPage(writer, 'a');
    await reader.query('begin');
    expect(await refresh()).toBe('rebuilt');
    await writer.query("set statement_timeout = '5s'");
    await writer.query(
      "update tiledesk.requests set status = 1000, closed_at = '2026-03-02T10:00:00Z', synced_at = now()",
    );
    const other = await connect(test.url);
    expect(await opens(other)).toBe(0);
    expect(await refresh(other)).toBe('busy');
    await reader.query('commit');
    expect(await opens(other)).toBe(50);
    expect(await refresh(other)).toBe('refreshed');
    expect((await other.query('select sum(closed)::int as closed from reporting.requests_daily')).rows).toEqual([
      { closed: 50 },
    ]);
  });

  it('writes nothing that has not changed', async () => {
    const { reader, writer } = setup;
    await insertPage(writer, 'a');
    await refresh();
    const places = async () =>
      (
        await reader.query(
          'select ctid::text, id from reporting.request_facts union all select ctid::text, day::text from reporting.request_days order by 1, 2',
        )
      ).rows;
    const before = await places();
    await writer.query('update tiledesk.requests set synced_at = now()');
    expect(await refresh()).toBe('refreshed');
    expect(await places()).toEqual(before);
  });

  it('makes the secondary indexes with the first rows, and holds up no reader meanwhile', async () => {
    const { reader, writer, test } = setup;
    const indexes = async () =>
      (
        await writer.query(
          "select indexname from pg_indexes where tablename = 'request_facts' and indexname <> 'request_facts_pkey'",
        )
      ).rowCount;
    await refresh();
    expect(await indexes()).toBe(0);
    await insertPage(writer, 'a');
    await reader.query('begin');
    await refresh();
    const other = await connect(test.url);
    await other.query("set statement_timeout = '5s'");
    expect((await other.query('select * from reporting.requests')).rows).toEqual([]);
    await reader.query('commit');
    expect(await indexes()).toBe(4);
  });

  it('computes anew where one table has rows and the one beside it has none', async () => {
    const { reader, writer } = setup;
    const computeAnew = async () =>
      (await reader.query('select reporting.refresh(0, true) as outcome')).rows[0].outcome;
    await writer.query(`insert into tilkee.connexions (connection_id, id, token_id, raw, content_hash, run_id)
      select 'tilkee:t', g::text, 'l', '{}', '', 1 from generate_series(1, 3) g`);
    expect(await computeAnew()).toBe('rebuilt');
    await writer.query(
      `insert into tilkee.tokens (connection_id, id, raw, content_hash, run_id) values ('tilkee:t', 'l', '{}', '', 1)`,
    );
    expect(await computeAnew()).toBe('rebuilt');
    expect((await reader.query('select visits::int from reporting.link_facts')).rows).toEqual([{ visits: 3 }]);
  });

  it('reads all rows again when most of them are new', async () => {
    const { writer } = setup;
    await insertPage(writer, 'a');
    expect(await refresh()).toBe('rebuilt');
    await insertPage(writer, 'b', 500);
    expect(await refresh()).toBe('refreshed');
    await insertPage(writer, 'c', 1_500);
    expect(await refresh()).toBe('rebuilt');
    expect(await opens()).toBe(2_050);
  });

  it('is refused where all statements share one snapshot', async () => {
    await setup.reader.query('begin isolation level repeatable read');
    await expect(refresh()).rejects.toThrow('read committed');
  });

  it('is early within the gap', async () => {
    const parts = { prisma: setup.database.prisma, address: 'here' };
    expect(await refreshReporting(parts)).toBe('rebuilt');
    expect(await refreshReporting(parts, { minGapMs: 60_000 })).toBe('early');
    expect(await refreshReporting(parts, { isFull: true })).toBe('rebuilt');
  });

  it('takes whatever upstream sends: hundreds of participants, texts without end, dates before Christ', async () => {
    const { writer } = setup;
    await writer.query(`
      insert into tiledesk.requests (connection_id, id, status, participants_agents, channel, closed_by, rating, created_at, closed_at, raw, content_hash, run_id)
      values ('tiledesk:p', 'wide', 1000, (select array_agg(md5(g::text)) from generate_series(1, 300) g), repeat('channel', 1000), repeat('who', 2000), 4.5,
          '2026-03-01T10:00:00Z', '2026-02-01T10:00:00Z', '{}', '', 1),
        ('tiledesk:p', 'old', 200, null, null, null, null, '0044-03-15T10:00:00Z BC', null, '{}', '', 1),
        ('tiledesk:p', 'far', null, null, null, null, null, '9999-12-31T23:59:59Z', null, '{}', '', 1),
        ('tiledesk:p', 'undated', 200, null, null, null, null, null, null, '{}', '', 1);
      insert into tiledesk.leads (connection_id, id, lead_id, fullname, email, phone, raw, content_hash, run_id)
      values ('tiledesk:p', 'wide', (select string_agg(md5(g::text), '') from generate_series(1, 60) g), repeat('name ', 1000),
        (select string_agg(md5(g::text), '') from generate_series(1, 60) g) || '@example.com', (select string_agg(md5(g::text), '') from generate_series(1, 60) g), '{}', '', 1);
      insert into tilkee.tokens (connection_id, id, name, external_id, raw, content_hash, run_id)
      select 'tilkee:t', 'wide', (select string_agg(md5(g::text), '@') from generate_series(1, 300) g), lead_id, '{}', '', 1 from tiledesk.leads`);
    await writer.query(`
      insert into tilkee.connexions (connection_id, id, token_id, total_time, raw, content_hash, run_id)
      select 'tilkee:t', g::text, 'wide', 9223372036854775807, '{}', '', 1 from generate_series(1, 9) g`);
    expect(await refresh()).toBe('rebuilt');
    expect(await opens()).toBe(3);
    const { rows } = await setup.reader.query('select resolution_seconds from reporting.requests where id = $1', [
      'wide',
    ]);
    expect(rows).toEqual([{ resolution_seconds: null }]);
    expect(
      (await setup.reader.query('select leads::int, links::int, matched_by from reporting.lead_360')).rows,
    ).toEqual([{ leads: 1, links: 1, matched_by: ['external_id'] }]);
  });

  it('computed anew, forgets rows that were deleted by hand', async () => {
    const { reader, writer } = setup;
    await insertPage(writer, 'a');
    await refresh();
    await writer.query("delete from tiledesk.requests where id <> 'a1'");
    await refresh();
    expect(await opens()).toBe(50);
    await reader.query('select reporting.refresh(0, true)');
    expect(await opens()).toBe(1);
  });
});

describe('time zones', () => {
  it('are taken by name, whatever its case, and refused when Postgres knows none', async () => {
    const setTimeZone = (id: string | null, timeZone: string) =>
      setReportSettings(setup.database.prisma, id, { timeZone });
    expect(await setTimeZone('tiledesk:p', 'europe/rome')).toBe(true);
    expect(await setTimeZone(null, 'Asia/Kathmandu')).toBe(true);
    expect(await setTimeZone(null, 'Middle/Earth')).toBe(false);
    const { rows } = await setup.reader.query('select connection_id, time_zone from reporting.settings order by 1');
    expect(rows).toEqual([
      { connection_id: '*', time_zone: 'Asia/Kathmandu' },
      { connection_id: 'tiledesk:p', time_zone: 'Europe/Rome' },
    ]);
    await expect(setup.reader.query("update reporting.settings set time_zone = 'Middle/Earth'")).rejects.toThrow(
      'Middle/Earth',
    );
  });
});

describe('the daemon', () => {
  const waitFor = () => {
    const seen: string[] = [];
    let tell = () => {};
    const onRefresh = (outcome: string) => {
      seen.push(outcome);
      tell();
    };
    const until = async (count: number) => {
      while (seen.length < count)
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
    };
    return { seen, onRefresh, until };
  };

  it('refreshes after a run, and once more for what ended meanwhile', async () => {
    const { database } = setup;
    const { seen, onRefresh, until } = waitFor();
    const refresher = new ReportRefresher({ database, logger: silentLogger(), gapMs: 20, onRefresh });
    refresher.ask();
    refresher.ask();
    await until(2);
    await insertPage(setup.writer, 'a');
    refresher.ask();
    while (seen.filter((outcome) => outcome === 'refreshed' || outcome === 'rebuilt').length < 3)
      await until(seen.length + 1);
    await refresher.stop();
    expect(await opens()).toBe(50);
    expect(seen).not.toContain('failed');
  });

  it('stopped in the middle of one, ends it at once and changes nothing', async () => {
    const { database, reader } = setup;
    await reader.query('alter function reporting.refresh_people rename to really_refresh_people');
    await reader.query(
      `create function reporting.refresh_people(is_full boolean) returns void language sql as 'select pg_sleep(60)'`,
    );
    await insertPage(setup.writer, 'a');
    const { seen, onRefresh } = waitFor();
    const refresher = new ReportRefresher({ database, logger: silentLogger(), gapMs: 20, onRefresh });
    refresher.ask();
    const isAsleep = async () =>
      (
        await reader.query(
          `select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()`,
        )
      ).rowCount === 1;
    while (!(await isAsleep()));
    await refresher.stop();
    expect(seen).toEqual(['stopped']);
    expect(await opens()).toBe(0);
  });

  it('goes on when a refresh fails, and tries again', async () => {
    const { database, reader } = setup;
    const { seen, onRefresh, until } = waitFor();
    await reader.query('alter function reporting.refresh_names rename to elsewhere');
    const refresher = new ReportRefresher({ database, logger: silentLogger(), gapMs: 20, onRefresh });
    refresher.ask();
    await until(1);
    expect(seen).toEqual(['failed']);
    await reader.query('alter function reporting.elsewhere rename to refresh_names');
    while (!seen.includes('rebuilt')) await until(seen.length + 1);
    await refresher.stop();
  });
});

describe('a sync by hand', () => {
  it('refreshes at its end, and does not fail when that fails', async () => {
    const { database, reader, writer } = setup;
    await insertPage(writer, 'a');
    const shares = { mirror: 1, queue: 0 };
    const mirror = { ...database, url: '', embedded: null, connections: { room: null, wanted: shares, shares } };
    const app = { database: mirror, logger: silentLogger() };
    const { signal } = new AbortController();
    await refreshAfter(app, signal);
    expect(await opens()).toBe(50);
    await reader.query('alter function reporting.refresh_names rename to elsewhere');
    await refreshAfter(app, signal);
  });
});
