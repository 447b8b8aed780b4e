/** A plain client of the sandbox: what the server says, without any of the mirror's care. */
import { createTiledeskSandbox, type TiledeskSandbox, type TiledeskSandboxOptions } from '../../sandbox/tiledesk.ts';

export type Row = Record<string, unknown>;

export interface ListBody {
  readonly perPage: number | null;
  readonly count: number;
  readonly rows: readonly Row[];
}

export interface Client {
  readonly sandbox: TiledeskSandbox;
  readonly url: string;
  /** Path below the project; authenticated as the main account unless headers say otherwise. */
  call(path: string, init?: RequestInit): Promise<Response>;
  list(name: 'leads' | 'requests' | 'activities', query?: string): Promise<ListBody>;
  json(path: string): Promise<unknown>;
  close(): Promise<void>;
}

export const basic = (email: string, password: string): string =>
  `Basic ${Buffer.from(`${email}:${password}`).toString('base64')}`;

export async function createClient(options: TiledeskSandboxOptions = {}): Promise<Client> {
  const sandbox = createTiledeskSandbox({ leads: 60, requests: 200, now: Date.UTC(2026, 4, 20, 12), ...options });
  const { url } = await sandbox.listen();
  const authorization = basic(sandbox.email, sandbox.password);
  const call = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}/v3/${sandbox.projectId}${path}`, { ...init, headers: { authorization, ...init.headers } });
  const json = async (path: string): Promise<unknown> => (await call(path)).json();
  return {
    sandbox,
    url,
    call,
    json,
    list: async (name, query = '') => {
      const response = await call(`/${name}?${query}`);
      if (response.status !== 200) throw new Error(`${name} answered ${response.status}: ${await response.text()}`);
      const body = (await response.json()) as { perPage: number | null; count: number } & Record<string, Row[]>;
      return { perPage: body.perPage, count: body.count, rows: body[name] ?? [] };
    },
    close: () => sandbox.close(),
  };
}

/** True when nothing came within the time: the socket is open, the server silent. */
export async function staysSilent(request: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
  const signal = AbortSignal.timeout(150);
  try {
    await request(signal);
    return false;
  } catch (error) {
    if (signal.aborted) return true;
    throw error;
  }
}

export const ids = (rows: readonly Row[]): string[] => rows.map((row) => String(row._id));
