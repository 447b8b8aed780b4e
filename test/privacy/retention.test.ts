import { describe, expect, it, jest } from '@jest/globals';
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { pruneQuarantineTexts } from '../../src/store/privacy/prune-quarantine.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import { removeGone } from '../../src/sync/privacy/remove-gone.ts';
import { variables } from '../helpers/mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { query, searchDump, setupPrivacy } from './support.ts';

const never = new AbortController().signal;

describe('retention', () => {
  it('removes rows that are gone upstream for so long, and no full sync writes them again', async () => {
    const setup = await setupPrivacy({ leads: 60, requests: 20, now: Date.now() - 3_600_000 });
    const env = { ...variables(setup.sandbox, setup.url, setup.database.url), PRIVACY_UPSTREAM_DELETED: '30' };
    const app = await createApp(loadConfig({ env, cwd: '/', isTerminal: false }), {
      logger: unheardLogger(),
      signal: never,
    });
    const run = async () => {
      const found = app.findStream(app.connections[0]?.id ?? '', 'tiledesk.leads');
      if (found === undefined) throw new Error('no leads');
      return app.runPass({ ...found, pass: 'reconcile', signal: never, maxWaitMs: 1_000, leaseWaitMs: 0 });
    };
    try {
      await setup.syncAll();
      await query(
        setup.database.url,
        `update tiledesk.leads set deleted_at = now() - interval '31 days' where deleted_at is not null`,
      );
      const sql = `select id, email from tiledesk.leads where deleted_at is not null and email is not null`;
      const gone = await query<{ id: string; email: string }>(setup.database.url, sql);
      const kept = await query(setup.database.url, 'select id from tiledesk.leads where deleted_at is null');
      expect(gone.length).toBeGreaterThan(0);
      const tables = app.connections.flatMap(({ streams }) => streams.map(({ table }) => table));

      expect((await removeGone(app.database.prisma, tables, 30))['tiledesk.leads']).toBeGreaterThanOrEqual(gone.length);
      await refreshReporting(app.database);
      const addresses = gone.map(({ email }) => email);
      expect(await searchDump(setup.database.url, addresses)).toEqual([]);
      expect(await query(setup.database.url, 'select id from tiledesk.leads where erased_at is null')).toHaveLength(
        kept.length,
      );
      const log = await query(setup.database.url, 'select reason, state from sync.erasures');
      expect(log).toEqual([{ reason: 'upstream', state: 'done' }]);

      await query(
        setup.database.url,
        `update tiledesk.leads set erased_at = now() - interval '2 days' where erased_at is not null`,
      );
      await removeGone(app.database.prisma, tables, 30);
      expect(await query(setup.database.url, 'select id from tiledesk.leads')).toHaveLength(kept.length);

      // The list of the upstream still has them.
      for (const lead of setup.sandbox.data.leads.values()) {
        if (lead.status === 1000)
          Object.assign(lead, { updatedAt: new Date(Date.now() - 40 * 86_400_000).toISOString() });
      }
      expect(await run()).toMatchObject({ outcome: 'succeeded' });
      expect(await searchDump(setup.database.url, addresses)).toEqual([]);
    } finally {
      await app.close();
      await setup.close();
    }
  });

  it('goes by the clock of the database, whatever that of the process is', async () => {
    const setup = await setupPrivacy(
      { leads: 60, requests: 20, now: Date.now() - 3_600_000 },
      { PRIVACY_UPSTREAM_DELETED: '30' },
    );
    const { now } = Date;
    try {
      const lead = [...setup.sandbox.data.leads.values()].find(({ status }) => status === 1000);
      if (lead === undefined) throw new Error('no lead was deleted upstream');
      Object.assign(lead, { updatedAt: new Date(now() - 86_400_000).toISOString() });
      const jump = jest.spyOn(Date, 'now').mockImplementation(() => now() + 400 * 86_400_000);
      try {
        await setup.run('leads', 'backfill');
      } finally {
        jump.mockRestore();
      }
      const sql = 'select deleted_at is not null as is_gone from tiledesk.leads where id = $1';
      expect(await query(setup.database.url, sql, [lead._id])).toEqual([{ is_gone: true }]);
    } finally {
      await setup.close();
    }
  });

  it('removes the texts in quarantine, of records that were written earlier than of others', async () => {
    const setup = await setupPrivacy({ leads: 5, requests: 5 });
    try {
      await query(
        setup.database.url,
        `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id, last_seen_at, resolved_at)
          select 'tiledesk:any', 'tiledesk.leads', name, 'unmappable', 'text', 1, now() - seen * interval '1 day', now() - resolved * interval '1 day'
          from (values ('open', 89, null), ('old', 91, null), ('written', 20, 6), ('done', 20, 8)) as v(name, seen, resolved)`,
      );
      expect(await pruneQuarantineTexts(setup.app.database.prisma, { resolvedDays: 7, openDays: 90 })).toBe(2);
      const left = await query(
        setup.database.url,
        `select record_id from sync.quarantine where raw_text <> '' order by 1`,
      );
      expect(left).toEqual([{ record_id: 'open' }, { record_id: 'written' }]);
    } finally {
      await setup.close();
    }
  });
});
