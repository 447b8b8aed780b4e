import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { erasePerson, type PrivacySetup, query, setupPrivacy } from './support.ts';

const AGREES = { pass: 'count', outcome: 'succeeded', error: null, pages: 0 };

let setup: PrivacySetup;
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 500, requests: 900, months: 6 }, { TILEDESK_PAGE_SIZE: '20' });
  await setup.syncAll();
  // Finds out what the server can do.
  for (const stream of ['leads', 'requests']) await setup.run(stream, 'count');
  await age();
});
/** What was written within a second before a check is left to the next one. */
const age = async () => {
  for (const name of ['leads', 'requests']) {
    await query(setup.database.url, `update tiledesk.${name} set synced_at = 'epoch'`);
  }
};
afterEach(async () => {
  // Each case ends as it began: one request for a list, and what really vanished is found.
  const { data } = setup.sandbox;
  await age();
  expect(await setup.run('requests', 'count')).toMatchObject({ ...AGREES, requests: 1 });
  expect(await setup.run('leads', 'count')).toMatchObject({ ...AGREES, requests: 2 });
  for (const [stream, id] of [
    ['requests', await anyId('requests')],
    ['leads', await anyId('leads')],
  ] as const) {
    if (stream === 'leads') data.hardDeleteLead(id);
    else data.hardDeleteRequest(id);
    expect(await setup.run(stream, 'count')).toMatchObject({ outcome: 'succeeded', deleted: 1 });
  }
  await age();
});
afterAll(() => setup.close());

/** One that little else belongs to. */
async function anyId(name: 'leads' | 'requests'): Promise<string> {
  const others = `(select count(*) from tiledesk.requests r where r.lead_id = ${name === 'leads' ? 't.id' : 't.lead_id'})`;
  const rows = await query<{ id: string }>(
    setup.database.url,
    `select id from tiledesk.${name} t where deleted_at is null and erased_at is null ${name === 'leads' ? 'and status = 100' : ''}
      order by ${others}, created_at limit 1`,
  );
  return rows[0]?.id ?? '';
}

describe('a count check where rows were erased', () => {
  it('expects emptied requests as long as the upstream has them, and no longer', async () => {
    const id = await anyId('requests');
    await erasePerson(setup.app, { requests: [id] });
    await age();
    expect(await setup.run('requests', 'count')).toMatchObject({ ...AGREES, requests: 1 });
    setup.sandbox.data.hardDeleteRequest(id);
    const from = setup.sandbox.log.length;
    expect(await setup.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', deleted: 0 });
    expect(setup.sandbox.log.length - from).toBeLessThan(25);
    // The row stays, so that counts of past days do.
    const [row] = await query(setup.database.url, 'select deleted_at from tiledesk.requests where id = $1', [id]);
    expect(row).toEqual({ deleted_at: null });
    await setup.run('requests', 'reconcile');
  });

  it('expects deleted requests as long as the upstream shows them, and no longer', async () => {
    const id = await anyId('requests');
    await erasePerson(setup.app, { requests: [id] }, { deletesRows: true });
    await age();
    expect(await setup.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', created: 0 });
    expect(await setup.run('requests', 'count')).toMatchObject({ ...AGREES, requests: 1 });
    setup.sandbox.data.hardDeleteRequest(id);
    expect(await setup.run('requests', 'count')).toMatchObject({ pass: 'count', outcome: 'succeeded', deleted: 0 });
  });

  it('expects emptied leads as long as the upstream has them, and no longer', async () => {
    const id = await anyId('leads');
    await erasePerson(setup.app, { leads: [id] });
    await age();
    expect(await setup.run('leads', 'count')).toMatchObject({ ...AGREES, requests: 2 });
    setup.sandbox.data.hardDeleteLead(id);
    expect(await setup.run('leads', 'count')).toMatchObject({ pass: 'reconcile', outcome: 'succeeded', deleted: 0 });
  });

  it('expects emptied leads no longer that the upstream marked as deleted', async () => {
    const id = await anyId('leads');
    await erasePerson(setup.app, { leads: [id] });
    await age();
    setup.sandbox.data.setLeadStatus(id, 1000);
    expect(await setup.run('leads', 'count')).toMatchObject({ pass: 'reconcile', outcome: 'succeeded', deleted: 0 });
    expect(await setup.run('leads', 'count')).toMatchObject(AGREES);
    // A full sync lets go of what was expected; one that finds nothing either needs no second one.
    await setup.run('leads', 'reconcile');
    expect(await setup.run('leads', 'count')).toMatchObject(AGREES);
  });

  it('expects deleted leads as long as the upstream has them, and no longer', async () => {
    const id = await anyId('leads');
    await erasePerson(setup.app, { leads: [id] }, { deletesRows: true });
    await age();
    expect(await setup.run('leads', 'count')).toMatchObject({ pass: 'reconcile', outcome: 'succeeded' });
    expect(await setup.run('leads', 'count')).toMatchObject(AGREES);
    await setup.run('leads', 'reconcile');
    expect(await setup.run('leads', 'count')).toMatchObject(AGREES);
    setup.sandbox.data.hardDeleteLead(id);
    await setup.run('leads', 'count');
  });
});
