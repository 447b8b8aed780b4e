import { describe, expect, it } from '@jest/globals';
import { type Decision, decide } from '../../src/alerts/decide.ts';
import { createDigest, describeDigest } from '../../src/alerts/digest.ts';
import type { AlertRow } from '../../src/store/engine/alerts.ts';
import type { AlertCondition } from '../../src/store/reports/alert-conditions.ts';

const START = Date.UTC(2026, 5, 1, 12);
const at = (seconds: number) => new Date(START + seconds * 1000);

const stale: AlertCondition = {
  connection_id: 'tiledesk:shop',
  stream: 'tiledesk.leads',
  kind: 'stale',
  reason: 'no complete pass in time',
  reason_code: 'overdue',
  since: at(-900),
};

/** The rounds of a table of alerts, as the database would keep it. */
function createTable(afterMs = 60_000) {
  let rows: AlertRow[] = [];
  let lastRoundAt: Date | null = null;
  return (seconds: number, conditions: readonly AlertCondition[]) => {
    const now = at(seconds);
    const unsettled = rows.filter((row) => row.is_seen || row.closed_at === null);
    const result = decide({ now, lastRoundAt, conditions, rows: unsettled }, { afterMs, maxGapMs: 120_000 });
    const isSame = (one: { kind: string; stream: string }) => (other: AlertRow) =>
      one.kind === other.kind && one.stream === other.stream;
    rows = rows.filter((row) => !result.deletes.some((key) => isSame(key)(row)));
    for (const row of result.upserts) rows = [...rows.filter((other) => !isSame(row)(other)), row];
    lastRoundAt = now;
    return told(result);
  };
}

const told = ({ opened, closed }: Decision) => [
  ...opened.map(({ kind }) => `open ${kind}`),
  ...closed.map(({ kind }) => `closed ${kind}`),
];

describe('what lasts', () => {
  it('is told once, and its end once', () => {
    const look = createTable();
    expect(look(0, [stale])).toEqual([]);
    expect(look(30, [stale])).toEqual([]);
    expect(look(60, [stale])).toEqual(['open stale']);
    expect(look(90, [stale])).toEqual([]);
    expect(look(120, [])).toEqual([]);
    expect(look(150, [])).toEqual([]);
    expect(look(180, [])).toEqual(['closed stale']);
    expect(look(210, [])).toEqual([]);
  });

  it('is told again when it begins again', () => {
    const look = createTable(0);
    expect([look(0, [stale]), look(30, []), look(60, [stale]), look(90, [])]).toEqual([
      ['open stale'],
      ['closed stale'],
      ['open stale'],
      ['closed stale'],
    ]);
  });

  it('is not told when it is over before its time', () => {
    const look = createTable();
    expect([look(0, [stale]), look(30, []), look(60, [stale]), look(90, [])].flat()).toEqual([]);
  });

  it('is not over when it pauses for a moment', () => {
    const look = createTable();
    look(0, [stale]);
    look(60, [stale]);
    expect([look(90, []), look(120, [stale]), look(180, []), look(210, [stale])].flat()).toEqual([]);
  });

  it('is measured again after a pause in which nobody looked: nothing is known about it', () => {
    const look = createTable();
    look(0, [stale]);
    expect(look(7_200, [stale])).toEqual([]);
    expect(look(7_260, [stale])).toEqual(['open stale']);
  });

  it.each(['deletion_brake', 'suddenly_empty', 'verify_differences'] as const)('%s is told at once', (kind) => {
    const look = createTable();
    expect([look(0, [{ ...stale, kind }]), look(30, [])]).toEqual([[`open ${kind}`], [`closed ${kind}`]]);
  });
});

describe('a digest', () => {
  const rowsOf = (conditions: readonly AlertCondition[]): AlertRow[] =>
    conditions.map((condition) => ({
      ...condition,
      is_seen: true,
      seen_since: at(0),
      opened_at: at(0),
      closed_at: null,
    }));

  it('is one entry for two hundred connections that went down together', () => {
    const conditions = Array.from({ length: 800 }, (_, index) => ({
      ...stale,
      connection_id: `tiledesk:${Math.floor(index / 4)}`,
      stream: `tiledesk.s${index % 4}`,
    }));
    const digest = createDigest({ opened: rowsOf(conditions), closed: [] }, at(0));
    expect(digest?.opened).toHaveLength(1);
    expect(digest?.opened[0]).toMatchObject({
      kind: 'stale',
      title: '800 streams are stale',
      connections: 200,
      streams: 800,
    });
    expect(digest?.opened[0]?.targets).toHaveLength(10);
    expect(JSON.stringify(digest).length).toBeLessThan(2_000);
  });

  it('calls accounts by their labels, with the id beside', () => {
    const rows = rowsOf(['tiledesk:a', 'tiledesk:b'].map((connection_id) => ({ ...stale, connection_id })));
    const digest = createDigest({ opened: rows, closed: [] }, at(0), null, new Map([['tiledesk:a', 'iPhone shop']]));
    const targets = digest?.opened[0]?.targets.map(({ connection, label }) => [connection, label]);
    expect(targets).toEqual([
      ['tiledesk:a', 'iPhone shop'],
      ['tiledesk:b', undefined],
    ]);
    expect(digest && describeDigest(digest)).toContain(
      `Which: iPhone shop (tiledesk:a) ${stale.stream}, tiledesk:b ${stale.stream}`,
    );
  });

  it('is one entry where reasons have one code, and says that its sentence is that of the first', () => {
    const reasons = [
      'network since 11:58 UTC; next try 12:01 UTC',
      'network since 2026-05-31 23:59 UTC; next try 12:07 UTC',
    ];
    const known = [...reasons, 'no answer from host:1234'].map((reason, index) => {
      return { ...stale, stream: reason, reason, reason_code: index < 2 ? 'network' : 'timeout' };
    });
    const digest = createDigest({ opened: rowsOf(known), closed: [] }, at(0));
    expect(digest?.opened.map(({ streams, reason }) => [streams, reason])).toEqual([
      [2, `${reasons[0]} (the first of 2)`],
      [1, 'no answer from host:1234'],
    ]);
  });

  it('stays short when every reason differs', () => {
    const conditions = Array.from({ length: 500 }, (_, index) => ({
      ...stale,
      stream: `s${index}`,
      reason_code: `reason_${index}`,
    }));
    const digest = createDigest({ opened: rowsOf(conditions), closed: [] }, at(0));
    expect([digest?.opened.length, digest?.more]).toEqual([20, 480]);
  });

  it('says what, since when, why, and what to do', () => {
    const brake = { ...stale, kind: 'deletion_brake' as const, reason: '40 of 100 rows are gone' };
    const digest = createDigest({ opened: rowsOf([brake]), closed: [] }, at(0));
    expect(digest && describeDigest(digest)).toBe(
      [
        '1 stream is blocked by the deletion guard',
        '  Which: tiledesk:shop tiledesk.leads',
        '  Why: 40 of 100 rows are gone',
        '  Since: 2026-06-01 11:45 UTC',
        '  Next: leadmirror verify tiledesk.leads --connection tiledesk:shop lists them; if they are right: leadmirror accept-deletions tiledesk.leads --connection tiledesk:shop',
      ].join('\n'),
    );
  });

  it('is none when nothing changed', () => {
    expect(createDigest({ opened: [], closed: [] }, at(0))).toBeNull();
  });
});
