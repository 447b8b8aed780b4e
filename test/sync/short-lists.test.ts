import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { StoredDocument } from '../../sandbox/collection.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';

const NAMES = ['bots', 'groups', 'tags'] as const;
type Name = (typeof NAMES)[number];

/** Enough for three pages of tags. */
const COUNT = 95;

let setup: MirrorSetup;
let client: pg.Client;
beforeAll(async () => {
  setup = await setupMirror({ leads: 5, requests: 5 }, { TILEDESK_STREAMS: NAMES.join(',') });
  client = new pg.Client({ connectionString: setup.database.url });
  await client.connect();
  for (const name of NAMES) {
    const docs = setup.sandbox.data.team[name];
    const sample = docs[0] as StoredDocument;
    docs.splice(1);
    for (let number = 1; number < COUNT; number++) {
      docs.push({ ...sample, _id: `7${String(number).padStart(23, '0')}`, [wordOf(name)]: `${name} ${number}` });
    }
  }
});
afterAll(async () => {
  await client.end();
  await setup.close();
});

const wordOf = (name: Name) => (name === 'tags' ? 'tag' : 'name');

/** Writes a change as the server does. */
function edit(name: Name, place: number, patch: Partial<StoredDocument>): void {
  const docs = setup.sandbox.data.team[name];
  docs[place] = { ...(docs[place] as StoredDocument), updatedAt: new Date().toISOString(), ...patch };
}

const tombstones = async (name: Name) => {
  const { rows } = await client.query(`select id from tiledesk.${name} where deleted_at is not null order by id`);
  return rows.map(({ id }) => id);
};

describe.each(NAMES)('tiledesk.%s', (name) => {
  it('are mirrored whole, read again without a write, and equal again after changes', async () => {
    expect(await setup.run(name, 'backfill')).toMatchObject({ outcome: 'succeeded', created: COUNT });
    expect(await compareMirror(setup.database.url, setup.sandbox, name)).toEqual(EQUAL);
    expect(await setup.run(name, 'incremental')).toMatchObject({ outcome: 'succeeded', created: 0, updated: 0 });

    edit(name, 3, { [wordOf(name)]: 'Renamed' });
    const docs = setup.sandbox.data.team[name];
    docs.push({ ...(docs[0] as StoredDocument), _id: '800000000000000000000001' });

    expect(await setup.run(name, 'incremental')).toMatchObject({ outcome: 'succeeded', created: 1, updated: 1 });
    expect(await compareMirror(setup.database.url, setup.sandbox, name)).toEqual(EQUAL);
  });

  it('that were removed are marked once two walks missed them, those and no others', async () => {
    const docs = setup.sandbox.data.team[name];
    const gone = docs.splice(40, 3).map(({ _id }) => _id);

    expect(await setup.run(name, 'incremental')).toMatchObject({ outcome: 'succeeded', deleted: 0 });
    const result = await setup.run(name, 'reconcile');

    expect(result).toMatchObject({ outcome: 'succeeded', deleted: 3, pages: 2 });
    expect(await tombstones(name)).toEqual(gone.sort());
  });

  it('that one answer leaves out are not marked', async () => {
    const before = await tombstones(name);
    setup.sandbox.faults.push({ kind: 'truncated-page', match: { list: name, nth: 1 } });
    const result = await setup.run(name, 'reconcile');
    expect(result.deleted).toBe(0);
    expect(await tombstones(name)).toEqual(before);
    setup.sandbox.faults.clear();
  });

  it('are never all gone without a person’s word', async () => {
    setup.sandbox.faults.push({ kind: 'empty-list', match: { list: name }, times: Number.POSITIVE_INFINITY });
    for (const pass of ['incremental', 'reconcile'] as const) {
      expect(await setup.run(name, pass)).toMatchObject({ outcome: 'failed', error: { code: 'suddenly_empty' } });
    }
    setup.sandbox.faults.clear();
    expect(await setup.run(name, 'reconcile')).toMatchObject({ outcome: 'succeeded', deleted: 0 });
  });
});

it('bots and groups that are trashed count as removed', async () => {
  for (const name of ['bots', 'groups'] as const) {
    const trashed = setup.sandbox.data.team[name][7]?._id ?? '';
    edit(name, 7, { trashed: true });
    expect(await setup.run(name, 'reconcile')).toMatchObject({ outcome: 'succeeded', deleted: 1 });
    expect(await tombstones(name)).toContain(trashed);
  }
});
