import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { createTestDatabase, withClient } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';

it('a customer’s role, made as the guide shows, reads the rows of its own accounts in all views, and nothing else', async () => {
  const guide = readFileSync(join(findRoot(), 'docs/operations.md'), 'utf8');
  const [, sql = ''] = /```sql\n(create role shop_milano[\s\S]+?)```/.exec(guide) ?? [];
  const role = `shop_${randomBytes(4).toString('hex')}`;
  const test = await createTestDatabase();
  const own = 'tiledesk:5f3c1d2e4b6a7f8091a2b3c4';
  try {
    await withClient(test.url, async (owner) => {
      for (const account of [own, 'tiledesk:another']) {
        await owner.query(
          `insert into tiledesk.leads (connection_id, id, raw, content_hash, first_seen_at, synced_at, run_id)
           values ($1, 'a', '{}', '\\x00', now(), now(), 1)`,
          [account],
        );
        await owner.query(
          "insert into sync.streams (connection_id, stream, created_at) values ($1, 'tiledesk.leads', now())",
          [account],
        );
      }
      await owner.query('select reporting.refresh()');
      const mine = sql.replaceAll('shop_milano', role).replace("'…'", "'made-up'");
      await owner.query(mine);
      // A second time, as after an upgrade.
      await owner.query(mine.slice(mine.indexOf('do $$')));
      const url = new URL(test.url);
      [url.username, url.password] = [role, 'made-up'];
      await withClient(url.href, async (customer) => {
        const { rows: views } = await customer.query(
          'select viewname from pg_views where schemaname = current_user order by 1',
        );
        const names = views.map(({ viewname }) => viewname);
        expect(names).toEqual(
          expect.arrayContaining(['tiledesk_leads', 'tilkee_tokens', 'reporting_open_backlog', 'sync_status']),
        );
        const accounts = async (view: string) =>
          (await customer.query(`select distinct connection_id from ${view}`)).rows.map((row) => row.connection_id);
        for (const name of names) expect([[own], []]).toContainEqual(await accounts(name));
        for (const name of ['tiledesk_leads', 'reporting_lead_funnel', 'sync_status'])
          expect(await accounts(name)).toEqual([own]);
        for (const closed of ['tiledesk.leads', 'reporting.lead_funnel', 'sync.secrets']) {
          await expect(customer.query(`select from ${closed}`)).rejects.toThrow('permission denied');
        }
        await expect(customer.query('delete from tiledesk_leads')).rejects.toThrow('permission denied');
      });
      await owner.query(`drop schema ${role} cascade; drop role ${role}`);
    });
  } finally {
    await test.drop();
  }
});
