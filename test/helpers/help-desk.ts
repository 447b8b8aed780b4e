import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The help desk of docs/new-source.md: the API as it is described there, over real HTTP, moving while it is read. */
export interface Ticket {
  readonly id: string;
  readonly subject: string;
  readonly status: string;
  readonly priority: number;
  readonly tags: readonly string[];
  readonly requester: { readonly email: string };
  readonly created_at: string;
  readonly updated_at: string;
}

export interface HelpDesk {
  readonly url: string;
  readonly token: string;
  readonly tickets: ReadonlyMap<string, Ticket>;
  /** Everything that was asked, with the answer's status: `GET tickets?... 200`. */
  readonly log: string[];
  /** The next list requests are answered by these instead: a status, or `hang` for an answer that never comes. */
  readonly trouble: (429 | 500 | 'hang')[];
  /** Called after each list answer, with the ids on it. */
  onList: ((ids: readonly string[]) => void) | null;
  add(): Ticket;
  edit(id: string, change: Partial<Ticket>): void;
  remove(id: string): void;
  close(): Promise<void>;
}

export async function startHelpDesk(count: number): Promise<HelpDesk> {
  const token = 'desk-token-for-tests';
  const tickets = new Map<string, Ticket>();
  const log: string[] = [];
  const trouble: HelpDesk['trouble'] = [];
  let last = 0;
  // In the past, and never twice the same moment: a change is newer than everything before it.
  let clock = Date.now() - 86_400_000;
  const tick = (): string => {
    clock += 1_000;
    return new Date(clock).toISOString();
  };
  const desk: HelpDesk = {
    url: '',
    token,
    tickets,
    log,
    trouble,
    onList: null,
    add() {
      last += 1;
      const at = tick();
      const ticket = {
        ...{ id: `T${String(last).padStart(8, '0')}`, subject: `ticket ${last}`, status: 'open', priority: last % 4 },
        ...{ tags: last % 3 === 0 ? ['billing', 'eu'] : [], requester: { email: `visitor${last}@example.test` } },
        ...{ created_at: at, updated_at: at },
      };
      tickets.set(ticket.id, ticket);
      return ticket;
    },
    edit(id, change) {
      const ticket = tickets.get(id);
      if (ticket === undefined) throw new Error(`no ticket ${id}`);
      tickets.set(id, { ...ticket, ...change, updated_at: tick() });
    },
    remove: (id) => void tickets.delete(id),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  for (let n = 0; n < count; n++) desk.add();

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://desk.test');
    const [status, body] = answerTo(request, url);
    log.push(`${url.pathname}${url.search} ${status}`);
    if (status === 'hang') return;
    const headers = { 'content-type': 'application/json', ...(status === 429 && { 'retry-after': '1' }) };
    response.writeHead(status, headers).end(JSON.stringify(body));
    if (status === 200 && 'tickets' in body) desk.onList?.((body.tickets as Ticket[]).map(({ id }) => id));
  }

  function answerTo({ headers }: IncomingMessage, url: URL): [status: number | 'hang', body: object] {
    if (headers.authorization !== `Bearer ${token}`) return [401, { error: 'who are you?' }];
    if (url.pathname === '/api/v2/tickets') {
      const status = trouble.shift();
      if (status !== undefined) return [status, { error: 'not now' }];
      return [200, { tickets: listed(url.searchParams), total: tickets.size }];
    }
    const ticket = tickets.get(url.pathname.split('/').at(-1) ?? '');
    return ticket === undefined ? [404, { error: 'no such ticket' }] : [200, ticket];
  }

  function listed(search: URLSearchParams): Ticket[] {
    const [, minus, field = ''] = /^(-?)(id|created_at|updated_at)$/.exec(search.get('sort') ?? '') ?? [];
    const key = field as 'id' | 'created_at' | 'updated_at';
    const sorted = [...tickets.values()].sort((a, b) => (a[key] < b[key] ? -1 : 1));
    if (minus === '-') sorted.reverse();
    const offset = Number(search.get('offset'));
    return sorted.slice(offset, offset + Math.min(100, Number(search.get('limit'))));
  }

  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(desk, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}
