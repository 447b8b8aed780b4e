import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../src/store/engine/leases.ts';
import { hasFreshQuarantine, readOpenQuarantine } from '../../src/store/engine/quarantine.ts';
import { isRefusedContent, isRetryableDatabaseError } from '../../src/store/faults.ts';
import { bisectPage, findRefused } from '../../src/store/mirror/bisect-page.ts';
import { decodeRows } from '../../src/store/mirror/page-json.ts';
import { encodePage } from '../../src/store/mirror/pages.ts';
import { writeQuarantined } from '../../src/store/mirror/write-quarantined.ts';
import type { Row } from '../../src/stream.ts';
import { LEADS, lead, type Store, setupStore, versionTime } from './support.ts';

let store: Store;
let lease: Lease;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs, sync.quarantine');
  lease = await store.lease();
});

/** Nothing that compresses: an index entry holds a third of a page at most. */
const incompressible = () => randomBytes(9000).toString('base64');
const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const page = (rows: readonly Row[]) => encodePage({ table: LEADS, rows, bad: [], replaceWrittenBefore: null });
const bisect = (rows: readonly Row[]) => bisectPage(store.prisma, lease, page(rows));
const ids = async () =>
  (await store.query<{ id: string }>('select id from tiledesk.leads order by id')).map(({ id }) => id);
const open = () => readOpenQuarantine(store.prisma, {});
const refusal = { reason: 'refused_by_database', rawText: '{"_id":"a"}' };

describe('a page that the database refuses because of what is in it', () => {
  const rowsWith = (...guilty: Row[]) => [
    ...Array.from({ length: 20 }, (_, index) => lead(`good ${String(index).padStart(2, '0')}`, 1)),
    ...guilty,
    lead('last', 1),
  ];

  it.each([
    ['an id too long for an index', () => lead(incompressible(), 1)],
    ['a value out of its column’s range', () => lead('guilty', 1, { status: 2 ** 40 })],
    ['a value that is no value of its column', () => lead('guilty', 1, { status: 'many' })],
    ['a date that is none', () => lead('guilty', 1, { attributes: null, updated_at: '10000-13-45' })],
  ])('is written but for its guilty record: %s', async (_, guilty) => {
    const row = guilty();
    const rows = rowsWith(row);
    const refused = await store.save(lease, rows).catch((error: unknown) => error);
    expect([isRefusedContent(refused), isRetryableDatabaseError(refused)]).toEqual([true, false]);
    expect(await ids()).toEqual([]);

    const accepted = await bisect(rows);

    expect(await ids()).toEqual([]);
    expect(accepted.bad).toEqual([
      {
        ...{ recordId: row.id, reason: 'refused_by_database', rawText: JSON.stringify(row.raw) },
        detail: expect.objectContaining({ sqlstate: expect.any(String), table: 'tiledesk.leads' }),
      },
    ]);
    await store.save(lease, accepted.json === null ? [] : decodeRows(accepted.json), { bad: accepted.bad });
    expect(await ids()).toHaveLength(21);
    expect((await open()).map(({ record_id }) => record_id)).toEqual([
      row.id.length > 256 ? expect.stringMatching(/^sha256:/) : 'guilty',
    ]);
  });

  it('is told by the limits of the database too: nested too deeply for it', async () => {
    // Its stack in this test, as small as it gets: what it refuses then is still fine for JSON here.
    await store.query(`alter database ${new URL(store.url).pathname.slice(1)} set max_stack_depth = '100kB'`);
    await store.prisma.$disconnect();
    try {
      const accepted = await bisect(rowsWith(lead('guilty', 1, { raw: deep(1500) })));
      expect(accepted.bad.map(({ recordId }) => recordId)).toEqual(['guilty']);
      expect(accepted.rowCount).toBe(21);
    } finally {
      await store.query(`alter database ${new URL(store.url).pathname.slice(1)} reset max_stack_depth`);
      await store.prisma.$disconnect();
    }
  });

  it('may be guilty all over', async () => {
    const rows = Array.from({ length: 9 }, (_, index) => lead(`guilty ${index}`, 1, { status: 'many' }));
    expect(await bisect(rows)).toMatchObject({ json: null, rowCount: 0, bad: rows.map(() => ({})) });
  });

  it('keeps the mark of repaired text in the rest', async () => {
    const accepted = await bisect([lead('guilty', 1, { status: 'x' }), lead('odd', 1, { raw: { text: '\0' } })]);
    await store.save(lease, accepted.json === null ? [] : decodeRows(accepted.json));
    expect(await store.query('select id, text_repaired from tiledesk.leads')).toEqual([
      { id: 'odd', text_repaired: true },
    ]);
  });

  it('is found with few tries, and weather is not taken for a refusal', async () => {
    let tries = 0;
    const members = Array.from({ length: 128 }, (_, index) => index);
    const refused = Object.assign(new Error('x'), { code: '54000' });
    const found = await findRefused(members, async (some) => {
      tries += 1;
      if (some.includes(77)) throw refused;
    });
    expect([found, tries]).toEqual([[77], 15]);
    for (const code of ['08006', '40P01', '53100', '53300', '57014', '57P01', '55P03']) {
      const weather = Object.assign(new Error('x'), { code });
      await expect(findRefused(members, () => Promise.reject(weather))).rejects.toBe(weather);
    }
  });
});

describe('a quarantine row', () => {
  const resolved = async () =>
    (
      await store.query<{ is_resolved: boolean }>('select resolved_at is not null as is_resolved from sync.quarantine')
    ).map(({ is_resolved }) => is_resolved);

  it('is closed by the page that writes its record, and opened again by one that cannot', async () => {
    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    await store.save(lease, [lead('b', 1)]);
    expect(await resolved()).toEqual([false]);

    await store.save(lease, [lead('a', 1), lead('b', 1)]);
    expect(await resolved()).toEqual([true]);

    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    expect(await resolved()).toEqual([false]);
  });

  it('is not closed by a page that was asked for before the record was set aside', async () => {
    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    await store.save(lease, [lead('a', 1)], { replaceWrittenBefore: new Date(Date.now() - 60_000) });
    expect(await resolved()).toEqual([false]);
    await store.save(lease, [lead('a', 2)], { replaceWrittenBefore: new Date(Date.now() + 60_000) });
    expect(await resolved()).toEqual([true]);
  });

  it('of another stream or connection is left alone', async () => {
    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    await store.save(await store.lease({ connectionId: 'tiledesk:other' }), [lead('a', 1)]);
    await store.save(await store.lease({ stream: 'tiledesk.other' }), [lead('a', 1)]);
    expect(await resolved()).toEqual([false]);
  });

  it('puts absence in doubt when its record had no id; one with an id was met', async () => {
    const since = new Date(Date.now() - 60_000);
    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    expect(await hasFreshQuarantine(store.prisma, lease, since)).toBe(false);
    await store.save(lease, [], { bad: [{ recordId: null, reason: 'no_id', rawText: '{}' }] });
    expect(await hasFreshQuarantine(store.prisma, lease, since)).toBe(true);
  });

  it('is kept when the page is not', async () => {
    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    await expect(store.save(lease, [lead('a', 1), lead('b', 1, { status: 'x' })])).rejects.toThrow();
    expect(await resolved()).toEqual([false]);
  });
});

describe('a record tried again by hand', () => {
  const setAside = async () => {
    await store.save(lease, [], { bad: [{ recordId: 'a', ...refusal }] });
    const [entry] = await open();
    if (entry === undefined) throw new Error('nothing was set aside');
    return entry;
  };
  const write = async (row: Row) => writeQuarantined(store.prisma, await setAside(), { table: LEADS, row });
  const stored = () => store.query<{ fullname: string; run_id: string }>('select fullname, run_id from tiledesk.leads');

  it('is written and resolved, in the name of the run that met it', async () => {
    expect(await write(lead('a', 3))).toBe('written');
    expect(await stored()).toEqual([{ fullname: 'version 3', run_id: String(lease.runId) }]);
    expect(await open()).toEqual([]);
  });

  it('never replaces a newer version', async () => {
    await store.save(lease, [lead('a', 5)]);
    expect(await write(lead('a', 3))).toBe('written');
    expect(await stored()).toMatchObject([{ fullname: 'version 5' }]);
    expect(await open()).toEqual([]);
  });

  it('that a run wrote meanwhile is not written again, dated or not', async () => {
    const entry = await setAside();
    await store.save(lease, [lead('a', null, { fullname: 'newer' })]);
    const row = lead('a', null, { fullname: 'older' });
    expect(await writeQuarantined(store.prisma, entry, { table: LEADS, row })).toBe('closed');
    expect(await stored()).toMatchObject([{ fullname: 'newer' }]);
  });

  it('stays where it is when it is refused again', async () => {
    expect(await write(lead('a', 1, { status: 'many' }))).toBe('refused');
    expect(await open()).toMatchObject([{ record_id: 'a', reason: 'refused_by_database' }]);
    expect(await stored()).toEqual([]);
  });

  it('does not come back to life when it was found to be gone since', async () => {
    await store.save(lease, [lead('a', 1)]);
    const entry = await setAside();
    await store.query(`update tiledesk.leads set deleted_at = now(), synced_at = now() + interval '1 s'`);
    const row = lead('a', 2, { updated_at: versionTime(2) });
    expect(await writeQuarantined(store.prisma, entry, { table: LEADS, row })).toBe('gone');
    expect(await stored()).toMatchObject([{ fullname: 'version 1' }]);
    expect(await open()).toEqual([]);
  });
});
