import { expect, it } from '@jest/globals';
import { cleanUp } from '../src/app/clean-up.ts';
import { setupMirror } from './helpers/mirror.ts';
import { unheardLogger } from './helpers/unheard-logger.ts';
import { query } from './privacy/support.ts';

it('applies retention once a day, and removes old versions and changes, also where rows that are gone are kept', async () => {
  const PRIVACY_RETENTION = 'tiledesk.leads created 1 day erase';
  const streams = { PRIVACY_RETENTION, SYNC_FEED_STREAMS: 'tiledesk.leads', SYNC_HISTORY_STREAMS: 'tiledesk.leads' };
  const { app, database, run, close } = await setupMirror({ leads: 5, requests: 0 }, streams);
  const tables = ['sync.changes', 'tiledesk.leads_history'];
  const counts = () =>
    query(
      database.url,
      tables
        .map((table) => `select count(*) > 0 as is_there from ${table} where seen_at < now() - interval '1 year'`)
        .join(' union all '),
    );
  try {
    await run('leads', 'backfill');
    for (const table of tables) await query(database.url, `update ${table} set seen_at = now() - interval '30 years'`);
    expect(await counts()).toEqual([{ is_there: true }, { is_there: true }]);
    const signal = new AbortController().signal;
    expect(await cleanUp(app, { logger: unheardLogger(), signal })).toBe(false);
    expect(await counts()).toEqual([{ is_there: false }, { is_there: false }]);
    const [left] = await query(
      database.url,
      `select count(*)::int as rows, count(*) filter (where created_at < now() - interval '1 day')::int as old,
        count(erased_at)::int as erased from tiledesk.leads`,
    );
    expect(left).toMatchObject({ rows: 5, erased: (left as { old: number }).old });
    expect((left as { erased: number }).erased).toBeGreaterThan(0);
  } finally {
    await close();
  }
});
