import { afterEach, describe, expect, it } from '@jest/globals';
import { parseEnd, parseOldDay, parseStart } from '../../../sandbox/dates.ts';
import type { TiledeskSandboxOptions } from '../../../sandbox/tiledesk.ts';
import { formatDateTime, formatDay } from '../../../src/sources/tiledesk/lists.ts';
import fc from '../../helpers/property.ts';
import { fetchOptions, plan, setupUpstream, type Upstream } from './support.ts';

let upstream: Upstream | null = null;
afterEach(async () => {
  await upstream?.close();
  upstream = null;
});

async function setup(options: TiledeskSandboxOptions = {}): Promise<Upstream> {
  upstream = await setupUpstream(options);
  return upstream;
}

const idsOf = (lists: readonly { id: string }[]) => lists.map(({ id }) => id);
const SINGLE = ['100', '50', '1000'];

describe('joined lead statuses', () => {
  it('are found out on a server that joins them: one list', async () => {
    const { lists, learnt } = await plan((await setup()).reach().stream('leads'), 'backfill');
    expect([idsOf(lists), learnt]).toEqual([['all'], { joinedLeadStatuses: true }]);
  });

  it('are found out on a server that counts the first only: three lists, in the order that loses no lead', async () => {
    const { lists, learnt } = await plan(
      (await setup({ joinedLeadStatuses: false })).reach().stream('leads'),
      'backfill',
    );
    expect([idsOf(lists), learnt]).toEqual([SINGLE, { joinedLeadStatuses: false }]);
  });

  it('are not believed where all leads happen to have the first status', async () => {
    const { reach, sandbox } = await setup({ joinedLeadStatuses: false });
    for (const id of [...sandbox.data.leads.keys()]) sandbox.data.setLeadStatus(id, 100);
    expect((await plan(reach().stream('leads'), 'backfill')).learnt).toEqual({ joinedLeadStatuses: false });
  });

  it('are not believed where all leads happen to have the last status', async () => {
    const { reach, sandbox } = await setup({ joinedLeadStatuses: false });
    for (const id of [...sandbox.data.leads.keys()]) sandbox.data.setLeadStatus(id, 1000);
    expect((await plan(reach().stream('leads'), 'backfill')).learnt).toEqual({ joinedLeadStatuses: false });
  });

  it.each([[true], [false]])(
    'are left undecided by a project without leads (server that joins: %s)',
    async (joined) => {
      const { reach } = await setup({ leads: 0, requests: 0, joinedLeadStatuses: joined });
      const { lists, learnt } = await plan(reach().stream('leads'), 'backfill');
      expect([idsOf(lists), learnt]).toEqual([SINGLE, {}]);
    },
  );

  it('are left undecided where leads arrive meanwhile', async () => {
    const { reach, sandbox } = await setup();
    sandbox.faults.beforeAnswer = ({ nth }) => {
      if (nth === 4) sandbox.data.insertLead({ status: 100 });
    };
    const { lists, learnt } = await plan(reach().stream('leads'), 'backfill');
    expect([idsOf(lists), learnt]).toEqual([SINGLE, {}]);
  });

  it.each(['503', '429', 'reset', 'garbled-json', 'html-200'] as const)(
    'are left undecided by trouble (%s), after one try',
    async (kind) => {
      const { reach, sandbox, asked } = await setup();
      sandbox.faults.push({ kind, match: { list: 'leads', nth: 2 } });
      const { lists, learnt } = await plan(reach().stream('leads'), 'backfill');
      expect([idsOf(lists), learnt]).toEqual([SINGLE, {}]);
      expect(asked().leads).toBe(2);
    },
  );

  it('that are known are not asked for again', async () => {
    const { reach, asked } = await setup();
    const { lists, learnt } = await plan(reach().stream('leads'), 'incremental', { joinedLeadStatuses: false });
    expect([idsOf(lists), learnt, asked()]).toEqual([SINGLE, {}, {}]);
  });
});

describe('windows on creation time', () => {
  /** Only the walk by windows asks for one. */
  async function usesWindows({ reach, sandbox }: Upstream, capabilities = {}) {
    const { lists, learnt } = await plan(reach().stream('requests'), 'backfill', capabilities);
    sandbox.clearLog();
    const [list] = lists;
    if (list === undefined) throw new Error('no list');
    let state = list.walk.start();
    for (let i = 0; i < 2; i++) {
      const query = list.walk.next(state);
      const step = list.walk.accept(state, query, await list.fetchPage(query, fetchOptions()));
      state = step.state;
    }
    return { learnt, hasWindows: sandbox.log.some(({ query }) => query.has('end_date_time')) };
  }

  it('are found out on a new server, and used', async () => {
    expect(await usesWindows(await setup())).toEqual({ learnt: { createdAtWindows: true }, hasWindows: true });
  });

  it('are found out to be missing on an old server, and not used', async () => {
    const old = await setup({ serverVersion: 'old' });
    expect(await usesWindows(old)).toEqual({ learnt: { createdAtWindows: false }, hasWindows: false });
  });

  it.each(['old', 'new'] as const)('are left undecided by an empty project on an %s server', async (serverVersion) => {
    const { reach } = await setup({ serverVersion, leads: 0, requests: 0 });
    expect((await plan(reach().stream('requests'), 'backfill')).learnt).toEqual({});
  });

  it.each(['503', '429', 'cut', 'html-200'] as const)(
    'are left undecided by trouble (%s), and not used this time',
    async (kind) => {
      const troubled = await setup();
      troubled.sandbox.faults.push({ kind, match: { list: 'requests', nth: 2 } });
      expect(await usesWindows(troubled)).toEqual({ learnt: {}, hasWindows: false });
    },
  );

  it('that are known are not asked for again', async () => {
    const known = await setup();
    expect(await usesWindows(known, { createdAtWindows: true })).toEqual({ learnt: {}, hasWindows: true });
    await plan(known.reach().stream('requests'), 'reconcile', { createdAtWindows: false });
  });
});

describe('a date for the server', () => {
  /** Every time that a row can have: four-digit years. */
  const time = fc.integer({ min: Date.UTC(1000, 0, 1), max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) });
  const floorTo = (ms: number, unit: number) => Math.floor(ms / unit) * unit;

  it('is read by it as the second that was meant, at both ends of a window', () => {
    fc.assert(
      fc.property(time, (ms) => {
        const text = formatDateTime(ms);
        expect(parseStart(text, 'UTC')).toBe(floorTo(ms, 1000));
        expect(parseEnd(text, 'UTC')).toBe(floorTo(ms, 1000));
      }),
    );
  });

  it('is read by an old server as the day that was meant', () => {
    fc.assert(fc.property(time, (ms) => expect(parseOldDay(formatDay(ms))).toBe(floorTo(ms, 86_400_000))));
  });

  it('reads as in the documents', () => {
    expect(formatDateTime(Date.UTC(2026, 10, 21, 9, 5, 7, 999))).toBe('21/11/2026 09:05:07');
    expect(formatDateTime(0)).toBe('01/01/1970 00:00:00');
    expect(formatDay(-1)).toBe('31/12/1969');
  });
});
