import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ErasedMeanwhileError } from '../../src/errors.ts';
import { bindBytes } from '../../src/store/driver-adapter.ts';
import { acquireLease, releaseLease } from '../../src/store/engine/leases.ts';
import { noCounts } from '../../src/store/engine/runs.ts';
import { encodeRows } from '../../src/store/mirror/page-json.ts';
import { encodePage, upsertSql, writePage } from '../../src/store/mirror/pages.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import type { Pass, Row, Stream } from '../../src/stream.ts';
import { retryQuarantine } from '../../src/sync/retry-quarantine.ts';
import { runPass } from '../../src/sync/run-pass.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { erasePerson, type PrivacySetup, query, searchDump, setupPrivacy } from './support.ts';

/** What an erasure must win against, each as a fixed interleaving of two sessions. */
let setup: PrivacySetup;
let session: pg.Client;
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 40, requests: 40, now: Date.now() - 3_600_000 });
  await setup.syncAll();
  session = new pg.Client({ connectionString: setup.database.url });
  await session.connect();
});
afterAll(async () => {
  await session.end();
  await setup.close();
});

const never = new AbortController().signal;
const PASS: Pass = 'incremental';

function leadsOf() {
  const [connection] = setup.app.connections;
  const stream = connection?.streams.find(({ name }) => name === 'tiledesk.leads');
  if (connection === undefined || stream === undefined) throw new Error('no leads');
  return { connection, stream, key: { connectionId: connection.id, stream: stream.name, pass: PASS } };
}

let lead: { id: string; email: string };
beforeEach(async () => {
  const sql = `select id, email from tiledesk.leads where email is not null and erased_at is null and deleted_at is null
    and lower(email) not in (select lower(email) from tiledesk.leads where email is not null group by 1 having count(*) > 1) limit 1`;
  const [found] = await query<typeof lead>(setup.database.url, sql);
  if (found === undefined) throw new Error('no lead is left');
  lead = found;
});

/** The lead as the upstream has it, changed. */
const changed = (stream: Stream): Row => {
  const record = setup.sandbox.data.leads.get(lead.id);
  return stream.mapRecord({ ...record, company: 'changed', updatedAt: new Date().toISOString() });
};

const waitsForLock = async () => {
  const sql = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  for (;;) if ((await query(setup.database.url, sql)).length > 0) return;
};

describe('an erasure', () => {
  it('keeps a page from being written that waits for it', async () => {
    const { stream, key } = leadsOf();
    const { prisma } = setup.app.database;
    const lease = await acquireLease(prisma, key);
    if (lease === null) throw new Error('the lease is taken');
    await session.query('begin');
    await session.query('update sync.checkpoints set privacy_epoch = privacy_epoch + 1');
    await session.query('delete from tiledesk.leads where id = $1', [lead.id]);
    const page = encodePage({ table: stream.table, rows: [changed(stream)], bad: [], replaceWrittenBefore: null });
    const checkpoint = { cursor: null };
    const written = writePage(prisma, {
      lease,
      startedAt: new Date(),
      page,
      checkpoint,
      counts: noCounts(),
      end: null,
    });
    const outcome = written.then(
      () => 'written',
      (error: unknown) => error,
    );
    await waitsForLock();
    await session.query('commit');
    expect(await outcome).toBeInstanceOf(ErasedMeanwhileError);
    expect(await query(setup.database.url, 'select id from tiledesk.leads where id = $1', [lead.id])).toEqual([]);
    await releaseLease(prisma, lease);
  });

  it('keeps its row empty against an upsert that waits for it', async () => {
    const { connection, stream } = leadsOf();
    const { prisma } = setup.app.database;
    await session.query('begin');
    const husk = `update tiledesk.leads set email = null, raw = '{"erased": true}', content_hash = 'erased', erased_at = now() where id = $1`;
    await session.query(husk, [lead.id]);
    const values = { connectionId: connection.id, runId: 1n, replaceWrittenBefore: null, isForced: true };
    const upsert = bindBytes(encodeRows([changed(stream)]), (json) =>
      prisma.$queryRaw(upsertSql(stream.table, json, values)),
    );
    const done = upsert.then(() => true);
    await waitsForLock();
    await session.query('commit');
    await done;
    const rows = await query(setup.database.url, 'select email, raw from tiledesk.leads where id = $1', [lead.id]);
    expect(rows).toEqual([{ email: null, raw: { erased: true } }]);
  });

  it('is waited for by a checkpoint that is being made, which takes its epoch', async () => {
    const { prisma } = setup.app.database;
    const [before] = await query<{ epoch: string }>(setup.database.url, 'select epoch from sync.privacy');
    await session.query('begin');
    await session.query('update sync.privacy set epoch = epoch + 1');
    const lease = acquireLease(prisma, { connectionId: 'tiledesk:new', stream: 'tiledesk.leads', pass: 'backfill' });
    await waitsForLock();
    await session.query('commit');
    expect((await lease)?.privacyEpoch).toBe(BigInt(before?.epoch ?? 0) + 1n);
  });

  it('moves the epoch of every stream of the account', async () => {
    const sql = 'select distinct stream, privacy_epoch from sync.checkpoints where connection_id = $1';
    const { connection } = leadsOf();
    await erasePerson(setup.app, { leads: [lead.id] });
    const [now] = await query<{ epoch: string }>(setup.database.url, 'select epoch from sync.privacy');
    const rows = await query<{ privacy_epoch: string }>(setup.database.url, sql, [connection.id]);
    expect(rows.length).toBeGreaterThanOrEqual(4);
    expect(new Set(rows.map(({ privacy_epoch }) => privacy_epoch))).toEqual(new Set([now?.epoch]));
  });

  it('that happens right behind the reading of the list is seen by the run all the same', async () => {
    const { connection, stream } = leadsOf();
    const { database, clock, privacy } = setup.app;
    setup.sandbox.data.editLead(lead.id, { company: 'changed' });
    let loads = 0;
    const parts = {
      ...{ prisma: database.prisma, databaseAddress: database.address, clock, logger: unheardLogger() },
      ...{ lookbackMs: 300_000, deletionLimit: 0.1 },
      privacy: {
        async load(connectionId: string, epoch: bigint) {
          const list = await privacy.load(connectionId, epoch);
          loads += 1;
          if (loads === 1) await erasePerson(setup.app, { leads: [lead.id] }, { deletesRows: true });
          return list;
        },
      },
    };
    const job = { connection, stream, pass: PASS, signal: never, maxWaitMs: 1_000, leaseWaitMs: 0 };
    expect(await runPass(parts, job)).toMatchObject({ outcome: 'succeeded' });
    expect(loads).toBe(2);
    expect(await searchDump(setup.database.url, [lead.email])).toEqual([]);
  });

  it('waits for a refresh of the reports that is under way, and refreshes again', async () => {
    await refreshReporting(setup.app.database);
    await session.query('begin');
    await session.query('select pg_advisory_xact_lock(7233071930)');
    const steps: string[] = [];
    let isWaiting: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      isWaiting = resolve;
    });
    const onStep = async (step: string) => {
      steps.push(step);
      if (step === 'rows') isWaiting();
    };
    const erasing = erasePerson(setup.app, { leads: [lead.id] }, { parts: { onStep } });
    await waiting;
    await setup.app.clock.sleep(600, never);
    expect(steps.at(-1)).toBe('rows');
    await session.query('commit');
    expect(await erasing).toMatchObject({ state: 'done', residue: {} });
    expect(await searchDump(setup.database.url, [lead.email])).toEqual([]);
  });

  it('takes the texts in quarantine before a retry writes them', async () => {
    const { connection, stream } = leadsOf();
    const { database, clock, privacy } = setup.app;
    const record = setup.sandbox.data.leads.get(lead.id);
    await session.query('delete from tiledesk.leads where id = $1', [lead.id]);
    await session.query(
      `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id) values ($1, $2, $3, 'unmappable', $4, 1)`,
      [connection.id, stream.name, lead.id, JSON.stringify(record)],
    );
    const parts = {
      ...{ prisma: database.prisma, clock, logger: unheardLogger() },
      privacy: {
        async load(connectionId: string, epoch: bigint) {
          const list = await privacy.load(connectionId, epoch);
          await erasePerson(setup.app, { emails: [lead.email] });
          return list;
        },
      },
    };
    expect(await retryQuarantine(parts, { connection, stream, signal: never })).toMatchObject({ tried: 0 });
    expect(await searchDump(setup.database.url, [lead.email])).toEqual([]);
  });
});
