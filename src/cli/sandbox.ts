import { once } from 'node:events';
import { FAULT_KINDS, type FaultKind, type FaultRule } from '../../sandbox/faults.ts';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox } from '../../sandbox/tilkee.ts';
import { type CommandProcess, runCommand, UsageError } from './command.ts';

export interface UpstreamsOptions {
  /** Tiledesk is here, Tilkee on the next one; 0: any free ones. */
  readonly port?: number;
  readonly seed?: number;
  readonly leads?: number;
  readonly requests?: number;
  readonly projects?: number;
  readonly links?: number;
  readonly visits?: number;
  /** The variables ask for the messages of conversations, too. */
  readonly messages?: boolean;
  readonly troubles?: readonly Trouble[];
}

/** A fault that every call meets for some time, in milliseconds since the start. */
interface Trouble {
  readonly kind: FaultKind;
  readonly fromMs: number;
  readonly untilMs: number;
}

const TROUBLE = /^(?<kind>[\w-]+):(?<length>\d{1,6})(?<unit>[sm])(?:@(?<start>\d{1,6})(?<startUnit>[sm]))?$/;
const MS_OF: Readonly<Record<string, number>> = { s: 1_000, m: 60_000 };

/** Reads `503:60s` (at once) or `429:5m@30s` (half a minute after the start). @throws UsageError */
function parseTrouble(text: string): Trouble {
  const { kind, length, unit = '', start = 0, startUnit = 's' } = TROUBLE.exec(text)?.groups ?? {};
  const known = FAULT_KINDS.find((one) => one === kind);
  if (known === undefined) {
    throw new UsageError(
      `--fault takes kind:duration, such as 503:60s or slow:5m@30s, not ${text}. Kinds: ${FAULT_KINDS.join(', ')}`,
    );
  }
  const fromMs = Number(start) * (MS_OF[startUnit] ?? 0);
  return { kind: known, fromMs, untilMs: fromMs + Number(length) * (MS_OF[unit] ?? 0) };
}

function faultRules(troubles: readonly Trouble[]): FaultRule[] {
  const startedAt = performance.now();
  return troubles.map(({ kind, fromMs, untilMs }) => ({
    ...{ kind, times: Number.POSITIVE_INFINITY },
    match: () => {
      const at = performance.now() - startedAt;
      return at >= fromMs && at < untilMs;
    },
  }));
}

/** Only the simulated upstreams, with the variables that point leadmirror at them. */
export async function sandbox(
  { live, fault = [], ...options }: UpstreamsOptions & { readonly live?: boolean; readonly fault?: readonly string[] },
  proc: CommandProcess,
): Promise<void> {
  await runCommand({ proc, requireConnections: false }, async ({ signal, print }) => {
    const upstreams = await startUpstreams({ ...options, troubles: fault.map(parseTrouble) });
    try {
      if (live) upstreams.startLive();
      for (const [name, value] of Object.entries(upstreams.variables)) print(`${name}=${value}`);
      proc.stderr.write('A simulated Tiledesk and Tilkee are running with invented data. Ctrl-C stops them.\n');
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await upstreams.close();
    }
  });
}

export type Upstreams = Awaited<ReturnType<typeof startUpstreams>>;

/** Starts a simulated Tiledesk, and a Tilkee with links to some of its leads. @throws UsageError for a port in use */
export async function startUpstreams(options: UpstreamsOptions = {}) {
  const { port = 0, seed = 1, leads, requests, projects, links, visits, messages = false, troubles = [] } = options;
  const tiledesk = createTiledeskSandbox({ seed, ...given({ leads, requests }) });
  const { url: tiledeskUrl } = await listenAt(port, 'Tiledesk', tiledesk);
  const known = [...tiledesk.data.leads.values()].filter(({ status }) => status === 100);
  const tilkee = createTilkeeSandbox({
    ...{ seed, leads: known.map((lead) => ({ ...lead, id: lead._id })) },
    ...given({ projects, tokens: links, visits }),
  });
  for (const { faults } of [tiledesk, tilkee]) faults.push(...faultRules(troubles));
  const tilkeeAddress = await listenAt(port === 0 ? 0 : port + 1, 'Tilkee', tilkee).catch(async (error: unknown) => {
    await tiledesk.close();
    throw error;
  });
  return {
    tiledesk,
    tiledeskUrl,
    tilkee,
    tilkeeAddress,
    variables: {
      TILEDESK_BASE_URL: tiledeskUrl,
      TILEDESK_PROJECT_ID: tiledesk.projectId,
      TILEDESK_EMAIL: tiledesk.email,
      TILEDESK_PASSWORD: tiledesk.password,
      ...(messages && { TILEDESK_STREAMS: 'leads,requests,departments,project_users,messages' }),
      TILKEE_V3_URL: tilkeeAddress.v3Url,
      TILKEE_V2_URL: tilkeeAddress.v2Url,
      TILKEE_AUTH_URL: tilkeeAddress.authUrl,
      // So that `tilkee login` can be tried; it signs in at the same server.
      TILKEE_APP_URL: tilkeeAddress.url,
      TILKEE_USERNAME: tilkee.username,
      TILKEE_PASSWORD: tilkee.password,
      TILKEE_CLIENT_ID: tilkee.clientId,
      TILKEE_CLIENT_SECRET: tilkee.clientSecret,
      // Visits are asked for project by project: at the usual pace the first full read would take minutes.
      TILKEE_REQUESTS_PER_MINUTE: '6000',
    },
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

/** What was not given keeps the sandbox's own size. */
const given = (sizes: Readonly<Record<string, number | undefined>>): Record<string, number> =>
  Object.fromEntries(Object.entries(sizes).flatMap(([name, size]) => (size === undefined ? [] : [[name, size]])));

const UNUSABLE = ['EADDRINUSE', 'EACCES', 'ERR_SOCKET_BAD_PORT'];

async function listenAt<T>(
  port: number,
  product: string,
  upstream: { listen(options: { port: number }): Promise<T> },
): Promise<T> {
  try {
    return await upstream.listen({ port });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!UNUSABLE.includes(code)) throw error;
    throw new UsageError(
      `Port ${port} cannot be used for the simulated ${product} (${code}); choose another one with --port, 0 for any`,
    );
  }
}
