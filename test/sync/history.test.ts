import { afterEach, expect, it } from '@jest/globals';
import { ensureHistory, stopHistory } from '../../src/store/mirror/history.ts';
import type { Stream } from '../../src/stream.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { withClient } from '../helpers/postgres.ts';

let mirror: MirrorSetup | null = null;
afterEach(async () => {
  await mirror?.close();
  mirror = null;
});

/** Rows whose last version is another than the row, and versions that repeat the one before them. */
const foldSql = (columns: readonly string[]) => {
  const list = (prefix: string) => [...columns, 'deleted_at'].map((column) => `${prefix}.${column}`).join(', ');
  return `
    select 'row' as what, r.id from tiledesk.requests r
    left join lateral (select * from tiledesk.requests_history h where h.connection_id = r.connection_id and h.id = r.id order by seq desc limit 1) h on true
    where h.id is null or row(${list('h')}) is distinct from row(${list('r')})
    union all
    select 'repeated', id from (
      select h.id, row(${list('h')}) as now, lag(row(${list('h')})) over w as before, lag(h.op) over w as op_before
      from tiledesk.requests_history h window w as (partition by connection_id, id order by seq)) v
    where op_before is not null and before is not distinct from now`;
};

it.each(['backfill', 'incremental'] as const)(
  'switched on in the middle of a pass (%s), off and on again, the versions fold to the rows',
  async (pass) => {
    const setup = await setupMirror(
      { leads: 20, requests: 200, now: Date.now() - 3_600_000 },
      { TILEDESK_PAGE_SIZE: '10' },
    );
    mirror = setup;
    const { app, sandbox, database } = setup;
    const { stream } = app.findStream(app.connections[0]?.id ?? '', 'tiledesk.requests') as { stream: Stream };
    if (pass === 'incremental') await setup.run('requests', 'backfill');
    const ids = [...sandbox.data.requests.keys()];
    const touch = (id: string | undefined, status: number) =>
      sandbox.data.touchRequest(id ?? '', { status }, Date.now() - 60_000);
    for (const [n, id] of ids.slice(0, 120).entries()) touch(id, n % 2 === 0 ? 200 : 1000);

    const switchOn = () => ensureHistory(app.database, [stream.table], [stream.name]);
    const switchOff = () => stopHistory(app.database, [stream.name]);
    const steps = [switchOn, switchOff, switchOn, switchOn];
    const begun: Promise<unknown>[] = [];
    let answers = 0;
    sandbox.faults.beforeAnswer = ({ list }) => {
      if (list !== 'requests') return;
      answers += 1;
      touch(ids[(answers * 7) % ids.length], 150);
      const step = answers % 2 === 0 ? steps[begun.length] : undefined;
      if (step !== undefined) begun.push((begun.at(-1) ?? Promise.resolve()).then(step));
    };
    const run = setup.run('requests', pass);
    expect(await run).toMatchObject({ outcome: 'succeeded' });
    expect(begun).toHaveLength(steps.length);
    await Promise.all(begun);
    sandbox.faults.beforeAnswer = undefined;
    touch(ids[3], 200);
    expect(await setup.run('requests', 'incremental')).toMatchObject({ outcome: 'succeeded' });

    const ask = (text: string) => withClient(database.url, async (client) => (await client.query(text)).rows);
    expect(await ask(foldSql(stream.table.tracked ?? []))).toEqual([]);
    const [{ rows, versions }] = await ask(
      'select (select count(*)::int from tiledesk.requests) as rows, (select count(*)::int from tiledesk.requests_history) as versions',
    );
    expect(rows).toBe(200);
    expect(versions).toBeGreaterThan(200);
  },
);
