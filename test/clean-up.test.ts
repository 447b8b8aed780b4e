import { expect, it } from '@jest/globals';
import { cleanUp } from '../src/app/clean-up.ts';
import { setupMirror } from './helpers/mirror.ts';
import { unheardLogger } from './helpers/unheard-logger.ts';
import { query } from './privacy/support.ts';

it('removes old versions and changes once a day, also where rows that are gone upstream are kept for ever', async () => {
  const streams = { SYNC_FEED_STREAMS: 'tiledesk.leads', SYNC_HISTORY_STREAMS: 'tiledesk.leads' };
  const { app, database, run, close } = await setupMirror({ leads: 5, requests: 0 }, streams);
  const tables = ['sync.changes', 'tiledesk.leads_history'];
  const counts = () =>
    query(database.url, tables.map((table) => `select count(*) > 0 as is_there from ${table}`).join(' union all '));
  try {
    await run('leads', 'backfill');
    for (const table of tables) await query(database.url, `update ${table} set seen_at = now() - interval '30 years'`);
    expect(await counts()).toEqual([{ is_there: true }, { is_there: true }]);
    await cleanUp(app, unheardLogger());
    expect(await counts()).toEqual([{ is_there: false }, { is_there: false }]);
  } finally {
    await close();
  }
});
