/** A plain client of the Tilkee sandbox: what the server says, without any of the mirror's care. */
import {
  createTilkeeSandbox,
  type TilkeeAddress,
  type TilkeeSandbox,
  type TilkeeSandboxOptions,
} from '../../sandbox/tilkee.ts';

export type Row = Record<string, unknown>;
export type Body = Record<string, unknown> & { data: Row[]; contents: Row[] };

export interface TilkeeClient extends TilkeeAddress {
  readonly sandbox: TilkeeSandbox;
  /** A V3 token, good on both. */
  readonly token: string;
  /** Path from the root; with the V3 token unless headers say otherwise; redirects are not followed. */
  call(path: string, init?: RequestInit): Promise<Response>;
  json(path: string): Promise<Body>;
  post(path: string, fields: Record<string, string>, form?: 'form' | 'json'): Promise<Response>;
  close(): Promise<void>;
}

export const now = Date.UTC(2026, 4, 20, 12);

export async function createTilkeeClient(options: TilkeeSandboxOptions = {}): Promise<TilkeeClient> {
  const sizes = { projects: 60, items: 50, tokens: 150, visits: 300 };
  const sandbox = createTilkeeSandbox({ ...sizes, now, ...options });
  const address = await sandbox.listen();
  const post: TilkeeClient['post'] = (path, fields, form = 'form') =>
    form === 'form'
      ? fetch(address.url + path, { method: 'POST', body: new URLSearchParams(fields) })
      : fetch(address.url + path, {
          method: 'POST',
          body: JSON.stringify(fields),
          headers: { 'content-type': 'application/json' },
        });
  const { username, password } = sandbox;
  const login = await post('/v3/oauth/authorize/', { grant_type: 'password', username, password });
  const { access_token: token } = (await login.json()) as { access_token: string };
  sandbox.clearLog();
  const call: TilkeeClient['call'] = (path, init = {}) =>
    fetch(address.url + path, {
      redirect: 'manual',
      ...init,
      headers: { authorization: `Bearer ${token}`, ...init.headers },
    });
  const json = async (path: string): Promise<Body> => {
    const response = await call(path);
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as Body;
  };
  return { ...address, sandbox, token, call, json, post, close: () => sandbox.close() };
}

/** Every row of a list, page by page until an empty one. */
export async function readAll(client: TilkeeClient, path: string, pageSize = 20): Promise<Row[]> {
  const rows: Row[] = [];
  const joint = path.includes('?') ? '&' : '?';
  const from = path.startsWith('/v3') ? 'skip' : 'offset';
  for (;;) {
    const body = await client.json(`${path}${joint}limit=${pageSize}&${from}=${rows.length}`);
    const page = body.data ?? body.contents;
    if (page.length === 0) return rows;
    rows.push(...page);
  }
}

export const idsOf = (rows: readonly Row[]): number[] => rows.map((row) => Number(row.id));
export const byId = (rows: readonly Row[]): Row[] => [...rows].sort((a, b) => Number(a.id) - Number(b.id));
