/** The two other processes of a measurement: the upstream, and the mirror that is measured. Both from the build that the program is of. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Agent, request } from 'undici';
import type { Pass } from '../../../src/stream.ts';
import type { Cli } from '../cli.ts';
import { ENDLESS_ACCOUNT, endlessProjectId } from '../endless-tiledesk.ts';

export type BenchStream = 'leads' | 'requests';

export interface UpstreamOptions {
  readonly leads?: number;
  readonly requests?: number;
  /** Each row is filled up to that many bytes. */
  readonly bytesEach?: number;
  /** Each answer waits that long; otherwise it comes at once. */
  readonly latencyMs?: number;
}

export interface UpstreamProcess {
  readonly url: string;
  /** What a user would write into `.env` for it. */
  readonly variables: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const PROJECT = endlessProjectId(0);

export async function startUpstream(cli: Cli, options: UpstreamOptions): Promise<UpstreamProcess> {
  const given = JSON.stringify({ leads: 0, requests: 0, ...options });
  const child = forkChild(cli, 'upstream-child', [PROJECT, given], {});
  const { url } = await messageOf<{ url: string }>(child, 'the upstream');
  return {
    url,
    variables: {
      TILEDESK_BASE_URL: url,
      TILEDESK_PROJECT_ID: PROJECT,
      TILEDESK_EMAIL: ENDLESS_ACCOUNT.email,
      TILEDESK_PASSWORD: ENDLESS_ACCOUNT.password,
      TILEDESK_REQUESTS_PER_MINUTE: '100000',
    },
    async close() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

export interface MirrorFigures {
  /** Of the pass: starting the process and opening the database are not in it. */
  readonly ms: number;
  readonly requests: number;
  readonly pages: number;
  readonly read: number;
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly deleted: number;
  readonly peakMb: number;
}

/** One pass in a process of its own. @throws when it does not succeed */
export async function runMirror(
  cli: Cli,
  upstream: UpstreamProcess,
  { databaseUrl, stream, pass }: { databaseUrl: string; stream: BenchStream; pass: Pass },
): Promise<MirrorFigures> {
  const env = { ...upstream.variables, DATABASE_URL: databaseUrl };
  const child = forkChild(cli, 'mirror-child', [`tiledesk.${stream}`, pass], env);
  const gone = once(child, 'exit');
  const figures = await messageOf<MirrorFigures>(child, `the ${pass} pass`);
  await gone;
  return figures;
}

/** A file of `test/bench`, from the build that the program is of. */
export const benchFile = (cli: Cli, name: string): URL =>
  new URL(`../dist/test/bench/${name}.js`, pathToFileURL(cli.program));

export function forkChild(cli: Cli, name: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  const path = fileURLToPath(benchFile(cli, name));
  const { PATH = '' } = process.env;
  // Without the settings of the process that measures, such as a loader.
  return fork(path, args, { env: { PATH, ...env }, execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
}

export async function messageOf<T>(child: ChildProcess, what: string): Promise<T> {
  const said = once(child, 'message').then(([message]) => message as T);
  const gone = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${what} ended with ${code ?? signal} before it said anything`);
  });
  // The loser of the race is nobody's failure any more.
  gone.catch(() => {});
  return Promise.race([said, gone]);
}

export interface DrainOptions {
  readonly stream: BenchStream;
  readonly rows: number;
  readonly pageSize: number;
  /** Each answer's records; parsing belongs to the time, what is done here does too. */
  readonly keep?: (records: readonly unknown[]) => void;
}

/** The pages that a first full read is made of, asked for by a bare client on one connection, parsed and forgotten; how long that took. */
export async function drain(upstream: UpstreamProcess, options: DrainOptions): Promise<number> {
  const { stream, rows, pageSize, keep } = options;
  const agent = new Agent({ connections: 1 });
  try {
    const authorization = await signIn(upstream, agent);
    const from = performance.now();
    let read = 0;
    for (let page = 0; page * pageSize < rows; page++) {
      const filter =
        stream === 'leads'
          ? 'status=50&status=100&status=1000'
          : 'status=all&preflight=true&no_populate=true&no_count=true';
      const url = `${upstream.url}/${PROJECT}/${stream}?${filter}&sort=_id&direction=-1&limit=${pageSize}&page=${page}`;
      const { body } = await request(url, { dispatcher: agent, headers: { authorization } });
      const { [stream]: records = [] } = JSON.parse(await body.text()) as Record<string, unknown[]>;
      read += records.length;
      keep?.(records);
    }
    if (read !== rows) throw new Error(`the upstream gave ${read} of ${rows} rows`);
    return performance.now() - from;
  } finally {
    await agent.close();
  }
}

async function signIn({ url }: UpstreamProcess, dispatcher: Agent): Promise<string> {
  const { body } = await request(`${url}/auth/signin`, {
    ...{ dispatcher, method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify(ENDLESS_ACCOUNT),
  });
  return ((await body.json()) as { token: string }).token;
}
