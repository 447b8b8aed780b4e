import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createOpsServer } from '../../src/ops/server.ts';
import { quarantineReasons } from '../../src/ops/view/stream-page.ts';
import { listQuarantineReasons } from '../../src/store/engine/quarantine.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';

let setup: MirrorSetup;
let sql: pg.Client;
beforeAll(async () => {
  setup = await setupMirror({ leads: 12, requests: 12 });
  await setup.syncAll();
  sql = new pg.Client({ connectionString: setup.database.url });
  await sql.connect();
  // Postgres changes no type of a column that a view has.
  await sql.query('drop view tiledesk.leads_current');
});
afterAll(async () => {
  await sql.end();
  await setup.close();
});

/** What somebody added to the table, what a record then holds, and what quarantine says of it. */
const CASES: readonly (readonly [string, string, object, object])[] = [
  [
    'a check constraint',
    `alter table tiledesk.leads add constraint company_known check (company <> 'canary')`,
    { company: 'canary' },
    { sqlstate: '23514', column: 'company', constraint: 'company_known' },
  ],
  [
    'a column that may not be empty',
    `alter table tiledesk.leads alter column phone set not null`,
    { phone: undefined },
    { sqlstate: '23502', column: 'phone' },
  ],
  [
    'a unique index',
    `create unique index one_city on tiledesk.leads (city)`,
    { city: 'taken canary' },
    { sqlstate: '23505', column: 'city', constraint: 'one_city' },
  ],
  [
    'a shorter column, of which the server names nothing',
    `alter table tiledesk.leads alter column region type varchar(5)`,
    { region: 'canary canary' },
    { sqlstate: '22001', column: 'region' },
  ],
  [
    'a trigger with a value in its words',
    `create function tiledesk.refuse() returns trigger language plpgsql as
      $$ begin if new.note like 'canary%' then raise exception 'no % here', new.note using column = 'a canary', constraint = new.note || ' x'; end if; return new; end $$;
      create trigger refuse before insert or update on tiledesk.leads for each row execute function tiledesk.refuse()`,
    { note: 'canary note' },
    { sqlstate: 'P0001', column: 'note' },
  ],
];

describe('the detail of a refused record', () => {
  it.each(CASES)('names the column and the constraint of %s, and no value', async (_title, ddl, fields, named) => {
    const [id = '', other = ''] = [...setup.sandbox.data.leads.keys()];
    await sql.query('begin; update tiledesk.leads set phone = coalesce(phone, id), city = id, region = null; commit');
    if ('city' in fields) await sql.query('update tiledesk.leads set city = $1 where id = $2', [fields.city, other]);
    await sql.query(ddl);
    setup.sandbox.data.editLead(id, { phone: '1', ...fields });

    expect(await setup.run('leads', 'incremental')).toMatchObject({ quarantined: 1 });

    const { rows } = await sql.query('select record_id, reason, detail from sync.quarantine where resolved_at is null');
    expect(rows).toEqual([
      { record_id: id, reason: 'refused_by_database', detail: { table: 'tiledesk.leads', ...named } },
    ]);
    expect(JSON.stringify(rows)).not.toContain('canary ');
    await sql.query(`drop trigger if exists refuse on tiledesk.leads; drop index if exists tiledesk.one_city;
      alter table tiledesk.leads drop constraint if exists company_known, alter column phone drop not null, alter column region type text`);
    await sql.query('delete from sync.quarantine');
    setup.sandbox.data.editLead(id, { phone: '2', company: 'x', city: id, region: 'x', note: 'x' });
    expect(await setup.run('leads', 'incremental')).toMatchObject({ outcome: 'succeeded' });
  });
});

describe('the page of a stream', () => {
  it('says why records are in quarantine', async () => {
    const [id = ''] = [...setup.sandbox.data.leads.keys()];
    await sql.query(`alter table tiledesk.leads add constraint company_known check (company <> 'canary')`);
    setup.sandbox.data.editLead(id, { company: 'canary' });
    await setup.run('leads', 'incremental');

    const [connection] = setup.app.connections;
    const key = { connectionId: connection?.id ?? '', stream: 'tiledesk.leads' };
    const quarantine = await listQuarantineReasons(setup.app.database.prisma, { ...key, limit: 10 });

    expect(quarantine).toMatchObject([{ reason: 'refused_by_database', records: 1 }]);
    const says = '1 <code>refused_by_database</code> 23514, column company, constraint company_known of tiledesk.leads';
    expect(quarantineReasons(quarantine).text).toContain(says);

    const server = createOpsServer({ prisma: setup.app.database.prisma });
    const page = await server.inject(`/streams/${encodeURIComponent(key.connectionId)}/${key.stream}`);
    await server.close();
    expect(page.body).toContain(says);
    expect(page.body).not.toContain('>canary');
  });
});
