import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { layOut } from '../../src/cli/columns.ts';
import { progressLine } from '../../src/cli/progress.ts';
import { viewRuns } from '../../src/cli/runs.ts';
import { viewStatus } from '../../src/cli/status-view.ts';
import { type Screen, wrap } from '../../src/cli/terminal.ts';
import { nextStep } from '../../src/ops/reasons.ts';
import type { StreamFacts } from '../../src/ops/status-document.ts';
import type { ProcessRecord } from '../../src/store/engine/processes.ts';
import type { RunRecord } from '../../src/store/engine/runs.ts';
import type { StreamState } from '../../src/store/reports/status.ts';

const NOW = Date.UTC(2026, 0, 2, 12);
const ago = (seconds: number) => new Date(NOW - seconds * 1000);
const SHOP = 'tiledesk:5f3c1d2e4b6a7f8091a2b3c4';

const screen = (width: number, isColored = false): Screen => ({
  ...{ width, height: Number.POSITIVE_INFINITY, isLive: false },
  paint: (style, text) => (isColored ? `\u001b[1m<${[style].flat().join('+')}>${text}\u001b[0m` : text),
});
const PIPE = screen(Number.POSITIVE_INFINITY);

function stream(name: string, state: StreamState, overrides: Partial<StreamFacts> = {}): StreamFacts {
  const { connection_id = SHOP, reason = 'as it should be' } = overrides;
  const { reason_code = state === 'blocked' ? 'auth_failed' : 'complete' } = overrides;
  return {
    ...{
      connection_id,
      stream: name,
      state,
      reason,
      reason_code,
      since: ago(7200),
      as_of: ago(75),
      rows: 1_234_567,
      deleted_rows: 3,
    },
    next_step: nextStep({
      ...{ connection_id, stream: name, state, reason_code },
      ...{ isRead: true, areDeletionsAccepted: false },
    }),
    ...{ lag_seconds: 75, last_success_at: ago(75), backfill_completed_at: ago(9000), watermark: null, notice: null },
    ...{
      verified_at: ago(7200),
      verified_rows: 25_000,
      verified_share: 0.999,
      verification_differences: 0,
      verification_settled: true,
      open_quarantine: 0,
    },
    ...{ proof_kind: 'count', proof_at: ago(600), unlisted_rows: null },
    ...{ running_pass: null, running: null, paused_at: null, deletions: null, last_error: null },
    next_runs: [{ pass: 'incremental', at: new Date(NOW + 90_000) }],
    interval_seconds: null,
    last_24h: { runs: 0, failed: 0, partial: 0, postponed: 0, changes: 0, slots: [] },
    ...overrides,
  };
}

const DAEMON: ProcessRecord = {
  ...{ id: 'd', host: 'mirror-1', pid: 7, roles: ['scheduler', 'worker'], version: '0.1.0', running_runs: 0 },
  ...{ started_at: ago(900), beat_at: ago(5), is_leading: true, queue_ok: true, config_hash: null, is_alive: true },
};

function view(
  streams: readonly StreamFacts[],
  on: Screen,
  isWhole = false,
  processes: readonly ProcessRecord[] = [],
): string[] {
  const ids = [...new Set(streams.map(({ connection_id }) => connection_id))];
  const count = (state: StreamState) => streams.filter((one) => one.state === state).length;
  const states = ['blocked', 'partial', 'stale', 'never', 'syncing', 'paused', 'fresh'] as const;
  const by_state = Object.fromEntries(states.map((state) => [state, count(state)])) as Record<StreamState, number>;
  const connections = ids.map((id) => ({
    id,
    label: null,
    source: 'tiledesk',
    state: 'fresh' as const,
    credential: null,
  }));
  return viewStatus(
    { streams, connections, processes, summary: { streams: streams.length, worst: null, by_state } },
    on,
    { nowMs: NOW, isWhole },
  );
}

const refusal = 'Tiledesk refused the e-mail address or password; check TILEDESK_EMAIL and TILEDESK_PASSWORD';
const MANY = [
  stream('tiledesk.departments', 'fresh'),
  stream('tiledesk.leads', 'blocked', { reason: refusal }),
  stream('tiledesk.requests', 'blocked', { reason: refusal }),
  stream('tiledesk.project_users', 'partial', {
    notice: 'read in another order than usual, because the server is slow at this one',
  }),
  stream('tilkee.tokens', 'syncing', {
    connection_id: 'tilkee:default',
    running_pass: 'reconcile',
    running: {
      ...{ pass: 'reconcile', run_id: 7, started_at: ago(20), pages: 200, requests: 210, read: 10_000 },
      ...{ expected: 25_000, rows_per_second: 500, eta_seconds: 30 },
    },
  }),
];

describe('status on a screen', () => {
  it.each([48, 60, 80, 100, 200])('of %d columns wraps nothing but commands and names', (width) => {
    const lines = view(MANY, screen(width)).map((line) => stripVTControlCharacters(line));
    const wide = lines.filter((line) => line.length > width);
    expect(wide.filter((line) => !/^ {4}leadmirror /.test(line) && /\S\s+\S/.test(line.trim()))).toEqual([]);
  });

  it('puts what needs somebody first, and tells a trouble of several streams once, with what to do', () => {
    const lines = view(MANY, screen(80));
    const rows = lines.filter((line) => /^ {2}t\w+\./.test(line)).map((line) => line.trim().split(/\s+/)[0]);
    expect(rows.slice(0, 4)).toEqual([
      'tiledesk.leads',
      'tiledesk.requests',
      'tiledesk.project_users',
      'tiledesk.departments',
    ]);
    const text = lines.join('\n');
    expect(text.split('refused the e-mail address').length - 1).toBe(1);
    expect(text).toContain(`blocked  ${SHOP}: tiledesk.leads,`);
    expect(text).toMatch(/Next: Correct the account’s credentials/);
    expect(lines).toContain('    leadmirror check');
    expect(lines).toContain(`    leadmirror sync tiledesk.project_users --pass reconcile --connection ${SHOP}`);
    expect(text.replace(/\s+/g, ' ')).toMatch(/Note on tiledesk:\w+ tiledesk\.project_users: read in another order/);
  });

  it('shows a note of several streams of an account once', () => {
    const notice = 'edits of older rows arrive with the full sync';
    const of = (connection_id: string) => ({ connection_id, notice });
    const [one, other] = [of('tilkee:one'), of('tilkee:other')];
    const noted = [stream('tilkee.items', 'fresh', one), stream('tilkee.users', 'fresh', one)];
    const text = (streams: readonly StreamFacts[]) => view(streams, screen(80)).join(' ').replace(/\s+/g, ' ');
    expect(text(noted)).toContain(`Note on tilkee.items, tilkee.users: ${notice}`);
    const both = text([...noted, stream('tilkee.items', 'fresh', other)]);
    expect(both.split(notice)).toHaveLength(3);
    expect(both).toContain('Note on tilkee:one tilkee.items, tilkee.users:');
    expect(both).toContain('Note on tilkee:other tilkee.items:');
  });

  it('names each account once, shows what runs, and the next run', () => {
    const lines = view(MANY, screen(80), false, [DAEMON]);
    expect(lines.filter((line) => line === SHOP || line === 'tilkee:default')).toHaveLength(2);
    expect(lines[0]).toBe('2 connections: 2 blocked, 1 partial, 1 syncing, 1 fresh');
    expect(lines.find((line) => line.includes('reconcile  █'))).toMatch(
      /tilkee\.tokens reconcile {2}█{8}░{12} {2}40 %/,
    );
    expect(lines.join(' ')).toMatch(/Next scheduled run in 90 s \(2026-01-02T12:01:30\.000Z\)/);
    expect(lines.join('\n')).toMatch(/tiledesk\.departments +fresh +1,234,567 +75 s ago +in 90 s +2 h ago, 99 %/);
  });

  it.each([[[]], [[{ ...DAEMON, is_alive: false }]]])('promises no next run where no daemon is alive', (processes) => {
    const text = view(MANY, screen(80), false, processes).join(' ');
    expect(text).toContain('No daemon is running; leadmirror start or leadmirror sync');
    expect(text).not.toContain('Next scheduled run');
  });

  it('shows how often a stream is read where that follows what changes', () => {
    const lines = view([stream('tiledesk.leads', 'fresh', { interval_seconds: 300 })], screen(80));
    expect(lines.join('\n')).toMatch(/tiledesk\.leads +fresh .* in 90 s, every 5 min/);
    const piped = view([stream('tiledesk.leads', 'fresh', { interval_seconds: 15 })], screen(Number.POSITIVE_INFINITY));
    expect(piped.join('\n')).toMatch(/fresh .* every 15 s +as it should be/);
  });

  it('gives each of many accounts one line, and all streams where they are asked for', () => {
    const fleet = ['a', 'b', 'c', 'd'].flatMap((id) => [
      stream('tiledesk.requests', 'fresh', { connection_id: id, rows: 5 }),
      stream('tiledesk.leads', id === 'c' ? 'blocked' : 'fresh', { connection_id: id, rows: 10, reason: refusal }),
    ]);
    const lines = view(fleet, screen(80));
    expect(lines[0]).toBe('4 connections: 1 blocked, 7 fresh');
    expect(lines.filter((line) => /^[a-d] /.test(line)).map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['a', 'fresh', '15', '75 s ago', 'in 90 s'],
      ['b', 'fresh', '15', '75 s ago', 'in 90 s'],
      ['c', 'blocked (1 of 2)', '15', '75 s ago', 'in 90 s'],
      ['d', 'fresh', '15', '75 s ago', 'in 90 s'],
    ]);
    expect(lines.join('\n')).toContain('blocked  c: tiledesk.leads');
    expect(lines).toContain('Each stream on a line of its own: leadmirror status --all');
    expect(view(fleet, screen(80), true).filter((line) => line.startsWith('  tiledesk.'))).toHaveLength(8);
    expect(view(fleet, PIPE).filter((line) => /^[a-d] +tiledesk\./.test(line))).toHaveLength(8);
  });

  it('leaves columns out where there is no room, the state never', () => {
    const lines = view(MANY, screen(45)).join('\n');
    expect(lines).toMatch(/tiledesk\.leads +blocked +75 s ago/);
    expect(lines).not.toContain('verified');
  });

  it('says the state in words and in colour', () => {
    const text = view(MANY, screen(80, true)).join('\n');
    expect(text).toContain('<red+bold>blocked');
    expect(text).toContain('<green>fresh');
  });

  it('of an account in order has nothing to do', () => {
    const text = view([stream('tiledesk.leads', 'fresh')], screen(80)).join('\n');
    expect(text).not.toMatch(/Next: /);
    expect(text).toMatch(/^ +stream +state/);
  });
});

it('status in a pipe has one line for each stream, and no escape code', () => {
  const lines = view(MANY, PIPE);
  expect(lines[0]).toMatch(/^connection +stream +state +as of +rows +last success +verified +evidence +interval +why$/);
  for (const { stream } of MANY)
    expect(lines.filter((line) => line.includes(` ${stream} `) && line.includes('2 h ago:'))).toHaveLength(1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there
  expect(lines.join('\n')).not.toMatch(/\u001b/);
  expect(lines.join('\n')).toMatch(/tilkee\.tokens +syncing, reconcile running/);
});

describe('runs on a screen', () => {
  const run = (id: number, overrides: Partial<RunRecord> = {}): RunRecord => ({
    ...{ id: BigInt(id), connection_id: SHOP, stream: 'tiledesk.project_users', pass: 'incremental' },
    ...{ outcome: 'succeeded', idle_runs: 0, watermark: null, error_code: null, error_message: null },
    ...{ requests: 12, pages: 3, read: 100, created: 25_000, updated: 3, unchanged: 1, deleted: 0, quarantined: 0 },
    ...{ started_at: ago(300), ended_at: ago(290) },
    ...overrides,
  });
  const failed = { outcome: 'failed', error_code: 'network', error_message: 'the server does not answer' } as const;
  const list = [
    run(1203, { outcome: null, ended_at: null }),
    run(1202, failed),
    run(1201, failed),
    run(1200, { connection_id: 'tilkee:default' }),
  ];

  it.each([40, 60, 80, 120])('of %d columns fit', (width) => {
    for (const line of viewRuns(list, screen(width), NOW)) expect(line.length).toBeLessThanOrEqual(width);
  });

  it('tell a reason once, with the runs that it ended', () => {
    const text = viewRuns(list, screen(120), NOW).join('\n');
    expect(text).toContain('\nruns 1202, 1201\n  network: the server does not answer');
    expect(text).toMatch(/1203 .*running/);
  });
});

describe('a line of progress', () => {
  const facts = { pass: 'reconcile', pages: 4, requests: 5, read: 10_000, rows_per_second: 820.4 } as const;

  it.each([
    [
      { expected: 25_000, eta_seconds: 18 },
      200,
      'leads  ████████░░░░░░░░░░░░  40 %  10,000 of about 25,000 rows  820/s  18 s left  4 pages  5 requests',
    ],
    [{ expected: 25_000, eta_seconds: 18 }, 60, 'leads  ████████░░░░░░░░░░░░  40 %'],
    [{ expected: null, eta_seconds: null }, 200, 'leads  10,000 rows  820/s  4 pages  5 requests'],
    [{ expected: 10_000, eta_seconds: 0 }, 70, 'leads  ████████████████████ 100 %  10,000 of about 10,000 rows'],
  ])('%j in %d columns', (size, width, expected) => {
    expect(progressLine('leads', { ...facts, ...size }, width)).toBe(expected);
  });
});

it('a table cuts long names last, and keeps a word that is too long for wrapping whole', () => {
  const columns = [
    { head: 'name', cell: (row: string) => row, atLeast: 6 },
    { head: 'length', cell: (row: string) => String(row.length), align: 'right' as const },
  ];
  expect(layOut(columns, ['abcdefghijkl', 'b'], 14)).toEqual(['name    length', 'abcde…      12', 'b            1']);
  expect(wrap('one two https://example.org/long three', 9, '  ')).toEqual([
    '  one two',
    '  https://example.org/long',
    '  three',
  ]);
});
