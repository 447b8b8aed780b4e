import { once } from 'node:events';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox, type TilkeeAddress, type TilkeeSandbox } from '../../sandbox/tilkee.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print } from './format.ts';

export interface SandboxOptions {
  readonly port: number;
  readonly seed: number;
  readonly leads: number;
  readonly requests: number;
  readonly live?: boolean;
}

/** Only the simulated upstreams, with the variables that point leadmirror at them. */
export async function sandbox({ live, ...options }: SandboxOptions): Promise<void> {
  await runCommand({ requireConnections: false }, async ({ signal }) => {
    const upstreams = await startUpstreams(options);
    try {
      if (live) upstreams.startLive();
      for (const [name, value] of Object.entries(upstreams.variables)) print(`${name}=${value}`);
      process.stderr.write('A simulated Tiledesk and Tilkee are running with invented data. Ctrl-C stops them.\n');
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await upstreams.close();
    }
    return EXIT.done;
  });
}

/** A simulated Tiledesk, and a simulated Tilkee where some of its leads received links. */
export interface Upstreams {
  readonly tiledesk: TiledeskSandbox;
  readonly tiledeskUrl: string;
  readonly tilkee: TilkeeSandbox;
  readonly tilkeeAddress: TilkeeAddress;
  /** What a user would write into `.env` for them. */
  readonly variables: Readonly<Record<string, string>>;
  startLive(): void;
  close(): Promise<void>;
}

export interface UpstreamsOptions {
  /** Tiledesk is here, Tilkee on the next one; 0: any free ones. */
  readonly port?: number;
  readonly seed?: number;
  readonly leads?: number;
  readonly requests?: number;
}

/** @throws UsageError when a port cannot be used */
export async function startUpstreams({ port = 0, seed = 1, ...sizes }: UpstreamsOptions = {}): Promise<Upstreams> {
  const tiledesk = createTiledeskSandbox({ seed, ...sizes });
  const { url: tiledeskUrl } = await listenAt(port, 'Tiledesk', () => tiledesk.listen({ port }));
  const known = [...tiledesk.data.leads.values()].filter(({ status }) => status === 100);
  const tilkee = createTilkeeSandbox({ seed, leads: known.map((lead) => ({ ...lead, id: lead._id })) });
  const nextPort = port === 0 ? 0 : port + 1;
  const listening = listenAt(nextPort, 'Tilkee', () => tilkee.listen({ port: nextPort }));
  const tilkeeAddress = await listening.catch(async (error: unknown) => {
    await tiledesk.close();
    throw error;
  });
  return {
    tiledesk,
    tiledeskUrl,
    tilkee,
    tilkeeAddress,
    variables: { ...tiledeskVariables(tiledesk, tiledeskUrl), ...tilkeeVariables(tilkee, tilkeeAddress) },
    startLive() {
      tiledesk.startLive();
      tilkee.startLive({ changesPerSecond: 2 });
    },
    async close() {
      await tilkee.close();
      await tiledesk.close();
    },
  };
}

const UNUSABLE = ['EADDRINUSE', 'EACCES', 'ERR_SOCKET_BAD_PORT'];

async function listenAt<T>(port: number, product: string, listen: () => Promise<T>): Promise<T> {
  try {
    return await listen();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!UNUSABLE.includes(code)) throw error;
    throw new UsageError(
      `Port ${port} cannot be used for the simulated ${product} (${code}); choose another one with --port, 0 for any`,
    );
  }
}

function tiledeskVariables({ projectId, email, password }: TiledeskSandbox, url: string): Record<string, string> {
  return {
    TILEDESK_BASE_URL: url,
    TILEDESK_PROJECT_ID: projectId,
    TILEDESK_EMAIL: email,
    TILEDESK_PASSWORD: password,
  };
}

/** With the application's id and secret, so that `tilkee login` can be tried; it signs in at the same place. */
function tilkeeVariables(
  { username, password, clientId, clientSecret }: TilkeeSandbox,
  { url, v3Url, v2Url, authUrl }: TilkeeAddress,
): Record<string, string> {
  return {
    TILKEE_V3_URL: v3Url,
    TILKEE_V2_URL: v2Url,
    TILKEE_AUTH_URL: authUrl,
    TILKEE_APP_URL: url,
    TILKEE_USERNAME: username,
    TILKEE_PASSWORD: password,
    TILKEE_CLIENT_ID: clientId,
    TILKEE_CLIENT_SECRET: clientSecret,
    // Visits are asked for project by project: at the usual pace the first full read would take minutes.
    TILKEE_REQUESTS_PER_MINUTE: '6000',
  };
}
