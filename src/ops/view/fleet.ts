import { type BudgetFacts, type ConnectionStatus, nameOf, type StreamFacts, urgencyOf } from '../status-document.ts';
import { ago, count, counted, elementId } from './format.ts';
import { type Html, html } from './html.ts';
import { stateChip } from './state.ts';
import { type HtmlColumn, table } from './table.ts';

const accountPath = (id: string): string => `/accounts/${encodeURIComponent(id)}`;

/** Its label with the id small beside it, or its id. */
export const accountName = ({ id, label }: Pick<ConnectionStatus, 'id' | 'label'>): Html | string =>
  label === null ? id : html`${label} <small class="soft">${id}</small>`;

/** An account with those of its streams that were looked for, and with all of them. */
export interface Shown {
  readonly connection: ConnectionStatus;
  readonly streams: readonly StreamFacts[];
  readonly own: readonly StreamFacts[];
  readonly budget: BudgetFacts | undefined;
}

export const sum = (streams: readonly StreamFacts[], of: (stream: StreamFacts) => number): number =>
  streams.reduce((total, stream) => total + of(stream), 0);

/** Null before every stream was read once. */
export function oldestAsOf(streams: readonly StreamFacts[]): Date | null {
  let oldest: Date | null = null;
  for (const { as_of } of streams) {
    if (as_of === null) return null;
    if (oldest === null || as_of < oldest) oldest = as_of;
  }
  return oldest;
}

const usedOf = ({ budget }: Shown): number => budget?.used_per_minute ?? 0;
const failedOf = ({ own }: Shown): number => sum(own, ({ last_24h }) => last_24h.failed);
export const rowsOf = ({ own }: Shown): number => sum(own, ({ rows }) => rows);

/** What the table can be sorted by; the first is how it begins. */
const ORDERS: Readonly<Record<string, (a: Shown, b: Shown) => number>> = {
  state: (a, b) => urgencyOf(a.connection.state) - urgencyOf(b.connection.state),
  account: () => 0,
  as_of: (a, b) => (oldestAsOf(a.own)?.getTime() ?? 0) - (oldestAsOf(b.own)?.getTime() ?? 0),
  rows: (a, b) => rowsOf(b) - rowsOf(a),
  failed: (a, b) => failedOf(b) - failedOf(a),
  requests: (a, b) => usedOf(b) - usedOf(a),
};

export const isOrder = (name: unknown): name is string => typeof name === 'string' && Object.hasOwn(ORDERS, name);

export const sortFleet = (lines: readonly Shown[], order: string): readonly Shown[] =>
  lines.toSorted((a, b) => (ORDERS[order]?.(a, b) ?? 0) || nameOf(a.connection).localeCompare(nameOf(b.connection)));

interface FleetOptions {
  readonly nowMs: number;
  readonly order: string;
  readonly linkTo: (order: string) => string;
}

export function fleetTable(lines: readonly Shown[], { nowMs, order, linkTo }: FleetOptions): Html {
  const sortable = (name: string) => ({ href: linkTo(name), isSorted: name === order });
  const columns: readonly HtmlColumn<Shown>[] = [
    {
      head: 'Account',
      sort: sortable('account'),
      cell: ({ connection }) =>
        html`<a id="${elementId('a', connection.id)}" href="${accountPath(connection.id)}">${accountName(connection)}</a>`,
    },
    { head: 'State', sort: sortable('state'), cell: ({ connection }) => stateChip(connection.state) },
    { head: 'Streams', cell: ({ connection, own }) => describeStreams(connection, own) },
    {
      head: 'As of',
      sort: sortable('as_of'),
      cell: ({ own }) => {
        const oldest = oldestAsOf(own);
        return oldest === null ? '–' : ago(oldest, nowMs);
      },
    },
    { head: 'Rows', sort: sortable('rows'), cell: (line) => count(rowsOf(line)), isNumber: true },
    { head: 'Failed in 24 h', sort: sortable('failed'), cell: (line) => count(failedOf(line)), isNumber: true },
    {
      head: 'Requests a minute',
      sort: sortable('requests'),
      cell: (line) => count(usedOf(line)),
      isNumber: true,
    },
  ];
  return table({
    label: 'Accounts',
    columns,
    rows: lines,
    classOf: ({ connection }) => `account is-${connection.state}`,
  });
}

function describeStreams({ state }: ConnectionStatus, streams: readonly StreamFacts[]): string {
  const like = streams.filter((stream) => stream.state === state).length;
  return like === streams.length ? counted(like, 'stream') : `${count(like)} of ${counted(streams.length, 'stream')}`;
}
