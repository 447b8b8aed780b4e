import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { CallInfo } from '../../sandbox/answer.ts';
import { acceptDeletions } from '../../src/store/engine/deletions.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';

const alive = async ({ app }: MirrorSetup) =>
  new Set((await app.database.prisma.tiledeskRequest.findMany({ where: { deleted_at: null } })).map(({ id }) => id));

const statusOf = ({ app }: MirrorSetup, kind: string) =>
  app.database.prisma.syncStatus.findFirstOrThrow({ where: { stream: `tiledesk.${kind}` } });

/** The list calls and the calls by id since then. */
function callsOf({ sandbox }: MirrorSetup) {
  const from = sandbox.log.length;
  return (list: string) => sandbox.log.slice(from).filter((entry) => entry.list === list).length;
}

const isTotal = ({ query }: CallInfo) => query.get('limit') === '1' && query.get('sort') === 'updatedAt';

describe('a count check', () => {
  let mirror: MirrorSetup;
  let created: [id: string, createdAt: string][];
  beforeAll(async () => {
    mirror = await setupMirror({ leads: 60, requests: 700, months: 6 }, { TILEDESK_PAGE_SIZE: '20' });
    await mirror.syncAll();
    // Finds out what the server can do.
    await mirror.run('requests', 'count');
    await age();
    created = [...mirror.sandbox.data.requests.values()]
      .map(({ _id, createdAt }): [string, string] => [_id, String(createdAt)])
      .sort(([, a], [, b]) => (a < b ? -1 : 1));
  });
  /** What was written within a second before a check is left to the next one. */
  const age = () => mirror.app.database.prisma.tiledeskRequest.updateMany({ data: { synced_at: new Date(0) } });
  afterEach(async () => {
    await age();
    mirror.sandbox.faults.clear();
    await mirror.app.database.prisma.syncCountCheck.deleteMany();
    await mirror.app.database.prisma.syncRun.updateMany({ data: { deleted: 0 } });
  });
  afterAll(() => mirror.close());
  const createdAt = (share: number): string => created[Math.floor(created.length * share)]?.[1] ?? '';
  const idAt = (share: number): string => {
    const from = Math.floor(created.length * share);
    return created.slice(from).find(([id]) => mirror.sandbox.data.requests.has(id))?.[0] ?? '';
  };

  it('costs one request for each count while nothing vanished, and that is evidence', async () => {
    expect(await mirror.run('requests', 'count')).toMatchObject({ outcome: 'succeeded', error: null, requests: 1 });
    expect(await mirror.run('leads', 'count')).toMatchObject({ outcome: 'succeeded', error: null, requests: 2 });
    expect(await statusOf(mirror, 'requests')).toMatchObject({ state: 'fresh', proof_kind: 'count' });
    expect(await statusOf(mirror, 'departments')).toMatchObject({ proof_kind: 'ids' });
  });

  it('costs at most six while rows arrive', async () => {
    const { data, faults } = mirror.sandbox;
    faults.afterAnswer = ({ query }) => {
      if (query.get('sort') === 'updatedAt') data.insertRequest({});
    };
    const calls = callsOf(mirror);
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', deleted: 0 });
    expect(calls('requests')).toBeLessThanOrEqual(6);
    faults.clear();
    await mirror.run('requests', 'incremental');
  });

  it('finds rows that are gone and reads no more than their windows', async () => {
    const { data } = mirror.sandbox;
    const gone = [0.1, 0.9].map(idAt);
    for (const id of gone) data.hardDeleteRequest(id);
    const calls = callsOf(mirror);
    const result = await mirror.run('requests', 'count');
    expect(result).toMatchObject({ pass: 'count', outcome: 'succeeded', deleted: 2 });
    const left = await alive(mirror);
    expect(gone.filter((id) => left.has(id))).toEqual([]);
    expect(left.size).toBe(data.requests.size);
    // One row that is surely there is asked for first.
    expect(calls('request')).toBe(3);
    expect(calls('requests')).toBeLessThan(30);
    expect(await mirror.run('requests', 'count')).toMatchObject({ outcome: 'succeeded', pages: 0 });
  });

  it('finds a row that is gone at the border of windows, and the newest one', async () => {
    const { data } = mirror.sandbox;
    const there = created.filter(([id]) => data.requests.has(id));
    const borders = there.filter((_, index) => index % 60 === 20);
    for (const [id, at] of borders) {
      const whole = `${at.slice(0, 19)}.000Z`;
      data.touchRequest(id, { createdAt: whole });
    }
    await mirror.run('requests', 'incremental');
    data.hardDeleteRequest(borders[3]?.[0] ?? '');
    data.hardDeleteRequest(data.insertRequest({})._id);
    const newest = data.insertRequest({})._id;
    await mirror.run('requests', 'incremental');
    await age();
    data.hardDeleteRequest(newest);
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', deleted: 2 });
    expect((await alive(mirror)).size).toBe(data.requests.size);
  });

  it('begins anew after a stop: what was missing in some windows is never taken for more', async () => {
    const { data, faults } = mirror.sandbox;
    data.hardDeleteRequest(idAt(0.35));
    const stop = new AbortController();
    faults.beforeAnswer = ({ query }) => {
      if (query.has('end_date_time') && query.get('sort') === '_id') stop.abort();
    };
    expect(await mirror.run('requests', 'count', { signal: stop.signal })).toMatchObject({ outcome: 'cancelled' });
    const { prisma } = mirror.app.database;
    expect(await prisma.syncCheckpoint.findMany({ where: { pass: 'count', cursor: { not: {} } } })).toEqual([]);
    expect(await prisma.syncSeenId.count({ where: { pass: 'count' } })).toBe(0);
    faults.clear();
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'count', deleted: 1 });
  });

  it('reads a window in which the upstream has more', async () => {
    const id = idAt(0.4);
    await mirror.app.database.prisma.tiledeskRequest.deleteMany({ where: { id } });
    expect(await mirror.run('requests', 'count')).toMatchObject({ outcome: 'succeeded', created: 1, deleted: 0 });
    expect((await alive(mirror)).has(id)).toBe(true);
  });

  it('believes no difference that it sees once', async () => {
    let times = 0;
    mirror.sandbox.faults.reportCount = (count, info) => (isTotal(info) && times++ === 0 ? count - 1 : count);
    const calls = callsOf(mirror);
    expect(await mirror.run('requests', 'count')).toMatchObject({ outcome: 'succeeded', error: null, deleted: 0 });
    expect(calls('requests')).toBeLessThanOrEqual(4);
    // The older rows, too, have to differ twice.
    let [totals, windows] = [0, 0];
    mirror.sandbox.faults.reportCount = (count, info) => {
      if (isTotal(info)) return totals++ < 2 ? count - 1 : count;
      return info.query.has('end_date_time') && windows++ === 0 ? count - 1 : count;
    };
    const again = callsOf(mirror);
    expect(await mirror.run('requests', 'count', { isScheduled: true })).toMatchObject({ pages: 0, deleted: 0 });
    expect(again('request')).toBe(0);
  });

  it('ends its windows a minute before the watermark', async () => {
    const { data, faults } = mirror.sandbox;
    const calls: string[] = [];
    faults.beforeAnswer = ({ query }) => {
      if (query.get('limit') === '1' && query.get('sort') === 'createdAt') calls.push(query.get('end_date_time') ?? '');
    };
    data.hardDeleteRequest(idAt(0.2));
    await mirror.run('requests', 'count');
    const { watermark } = await statusOf(mirror, 'requests');
    const end = new Date(Date.parse((watermark as Record<string, string>).all ?? '') - 60_000).toISOString();
    const [date = '', time = ''] = end.split('T');
    expect(calls[0]).toBe(`${date.split('-').reverse().join('/')} ${time.slice(0, 8)}`);
  });

  it('is blocked by the deletion guard before anything is read', async () => {
    const { data } = mirror.sandbox;
    for (const [id] of created.slice(0, 150)) data.hardDeleteRequest(id);
    const blocked = await mirror.run('requests', 'count');
    expect(blocked).toMatchObject({ pass: 'count', outcome: 'partial', error: { code: 'deletion_brake' }, pages: 0 });
    expect(await statusOf(mirror, 'requests')).toMatchObject({ state: 'partial', reason_code: 'deletion_brake' });
    const key = { connectionId: blocked.connection, stream: 'tiledesk.requests' };
    expect(await acceptDeletions(mirror.app.database.prisma, key)).not.toBeNull();
    const accepted = await mirror.run('requests', 'count');
    expect(accepted.outcome).toBe('succeeded');
    expect((await alive(mirror)).size).toBe(data.requests.size);
    expect(await statusOf(mirror, 'requests')).toMatchObject({ state: 'fresh' });
  });

  it('counts leads by status: one that was deleted softly, and later for good, is no difference', async () => {
    const { data } = mirror.sandbox;
    const id = [...data.leads.values()].find(({ status }) => status === 100)?._id ?? '';
    data.setLeadStatus(id, 1000);
    await mirror.run('leads', 'incremental');
    data.hardDeleteLead(id);
    expect(await mirror.run('leads', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', pages: 0 });
  });

  it('is followed by a full sync of leads', async () => {
    const { data } = mirror.sandbox;
    const id = [...data.leads.values()].find(({ status }) => status === 100)?._id ?? '';
    data.hardDeleteLead(id);
    const result = await mirror.run('leads', 'count', { isScheduled: true });
    expect(result).toMatchObject({ pass: 'reconcile', outcome: 'succeeded', deleted: 1 });
  });

  it('concludes nothing from leads that come and go', async () => {
    const { data, faults } = mirror.sandbox;
    faults.beforeAnswer = (info) => {
      if (isTotal(info)) data.insertLead({ status: 100 });
    };
    const result = await mirror.run('leads', 'count');
    expect(result).toMatchObject({ pass: 'count', outcome: 'postponed', error: { code: 'counts_moving' } });
    faults.clear();
    await mirror.run('leads', 'incremental');
  });

  it('expects quarantined records', async () => {
    const { data } = mirror.sandbox;
    const request = data.insertRequest({});
    data.collections.requests.put({ ...request, _id: { strange: true } as never });
    data.hardDeleteRequest(request._id);
    await mirror.run('requests', 'incremental');
    expect(await statusOf(mirror, 'requests')).toMatchObject({ open_quarantine: 1n });
    expect(await mirror.run('requests', 'count')).toMatchObject({ outcome: 'succeeded', error: null, pages: 0 });
    await mirror.app.database.prisma.syncQuarantine.updateMany({ data: { last_seen_at: new Date(0) } });
    for (const [key, doc] of data.collections.requests.docs) {
      if (typeof doc._id !== 'string') data.collections.requests.delete(key);
    }
    await mirror.run('requests', 'count');
    expect(await mirror.run('requests', 'count')).toMatchObject({ outcome: 'succeeded', pages: 0 });
  });

  it('remembers rows that are counted and not listed, after a full sync, until the next one', async () => {
    const at = createdAt(0.5).slice(0, 19);
    const time = (text: string | null) => text?.replace(/^(..).(..).(....) /, '$3-$2-$1T') ?? null;
    mirror.sandbox.faults.reportCount = (count, { list, query }) => {
      const [from, to] = [time(query.get('start_date_time')), time(query.get('end_date_time'))];
      return list === 'requests' && (from ?? '') <= at && (to ?? '~') >= at ? count + 3 : count;
    };
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'reconcile', outcome: 'succeeded' });
    expect(await statusOf(mirror, 'requests')).toMatchObject({ unlisted_rows: 3n, proof_kind: 'count' });
    const check = { pass: 'count', outcome: 'succeeded', error: null, pages: 0 };
    expect(await mirror.run('requests', 'count')).toMatchObject(check);
    // They are expected in their window only.
    mirror.sandbox.data.hardDeleteRequest(idAt(0.8));
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', deleted: 1 });
    await mirror.run('requests', 'reconcile');
    expect(await statusOf(mirror, 'requests')).toMatchObject({ unlisted_rows: null });
  });

  it('never expects fewer rows than the mirror has: such counts are not used for a week', async () => {
    mirror.sandbox.faults.reportCount = (count, { query }) => (query.get('limit') === '1' ? count - 1 : count);
    const { requests } = mirror.sandbox.data;
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'reconcile', deleted: 0 });
    mirror.sandbox.faults.clear();
    const unusable = { pass: 'count', requests: 0, error: { code: 'counts_unusable' } };
    expect(await mirror.run('requests', 'count', { isScheduled: true })).toMatchObject(unusable);
    expect((await alive(mirror)).size).toBe(requests.size);
  });

  it.each([
    ['0', () => 0],
    ['less than the row that it came with', () => -1],
  ])('does not use a count of %s', async (_, report) => {
    mirror.sandbox.faults.reportCount = (count, info) => (isTotal(info) ? report() : count);
    const unusable = { pass: 'count', outcome: 'postponed', deleted: 0, error: { code: 'counts_unusable' } };
    expect(await mirror.run('requests', 'count', { isScheduled: true })).toMatchObject(unusable);
    // By hand, what follows is a full sync; the schedule's own reads everything, as before.
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'reconcile', outcome: 'succeeded' });
    expect(await mirror.run('requests', 'reconcile', { isScheduled: true })).toMatchObject({ pass: 'reconcile' });
  });

  it('finds that a row without a date is gone, by a full sync', async () => {
    const { data } = mirror.sandbox;
    const ids = [0.3, 0.6].map(idAt);
    for (const id of ids) data.touchRequest(id, { createdAt: null });
    await mirror.run('requests', 'incremental');
    await age();
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded' });
    data.hardDeleteRequest(ids[0] ?? '');
    expect(await mirror.run('requests', 'count')).toMatchObject({ pass: 'reconcile', deleted: 1 });
  });

  it('stands for the nightly full sync while the last one is young; by hand everything is read', async () => {
    const { prisma } = mirror.app.database;
    const night = () => mirror.run('requests', 'reconcile', { isScheduled: true });
    expect(await night()).toMatchObject({ pass: 'count', outcome: 'succeeded', pages: 0 });
    expect(await mirror.run('requests', 'reconcile')).toMatchObject({ pass: 'reconcile' });
    const old = new Date(Date.now() - 8 * 86_400_000);
    await prisma.syncCheckpoint.updateMany({ where: { completed_at: { not: null } }, data: { completed_at: old } });
    expect(await night()).toMatchObject({ pass: 'reconcile', outcome: 'succeeded' });
    expect(await night()).toMatchObject({ pass: 'count' });
  });

  it('leaves a costly full sync to the night', async () => {
    const { prisma } = mirror.app.database;
    const { data } = mirror.sandbox;
    data.hardDeleteLead([...data.leads.values()].find(({ status }) => status === 100)?._id ?? '');
    await prisma.syncRun.updateMany({ data: { requests: 10_000_000 } });
    const differs = { pass: 'count', outcome: 'partial', error: { code: 'counts_differ' } };
    expect(await mirror.run('leads', 'count', { isScheduled: true })).toMatchObject(differs);
    const night = await mirror.run('leads', 'reconcile', { isScheduled: true });
    expect(night).toMatchObject({ pass: 'reconcile', deleted: 1 });
  });
});

it('is not used where the server knows no windows: the full sync stays as it is', async () => {
  const mirror = await setupMirror({ leads: 20, requests: 60, serverVersion: 'old' });
  try {
    await mirror.syncAll();
    const unusable = { pass: 'count', outcome: 'postponed', error: { code: 'counts_unusable' } };
    expect(await mirror.run('requests', 'count', { isScheduled: true })).toMatchObject(unusable);
    const { data } = mirror.sandbox;
    data.hardDeleteRequest([...data.requests.keys()][7] ?? '');
    const night = await mirror.run('requests', 'reconcile', { isScheduled: true });
    expect(night).toMatchObject({ pass: 'reconcile', outcome: 'succeeded', deleted: 1 });
  } finally {
    await mirror.close();
  }
});
