import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { silentLogger } from '../../src/logger.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { type DataLocation, findLocation } from '../../src/store/embedded/location.ts';

/** A Postgres that may be killed: of this test alone, unlike the server that all test files share. */
export interface OwnPostgres {
  readonly home: string;
  /** Null until somebody started it. */
  url(): Promise<string | null>;
  /** SIGKILL to the server. Whoever is present starts it again. False when it is not running. */
  kill(): Promise<boolean>;
  /** Starts or joins it, and stays until `close`. */
  hold(): Promise<void>;
  close(): Promise<void>;
}

/** `isStarted` false: only the place; the program under test starts the server there itself. */
export async function createOwnPostgres({ isStarted }: { readonly isStarted: boolean }): Promise<OwnPostgres> {
  const home = await mkdtemp(join(tmpdir(), 'leadmirror-chaos-'));
  // Postgres refuses to run as root and then works under an account of its own, which has to enter this directory.
  await chmod(home, 0o755);
  const { location } = await findLocation(home);
  const onExit = () => signalNow(location);
  process.once('exit', onExit);
  // Crashes are part of the play: what was committed has to survive them, so the data stay durable.
  let server: EmbeddedPostgres | null = null;
  const hold = async () => {
    server ??= await startEmbeddedPostgres({ home, logger: silentLogger() });
  };
  if (isStarted) await hold();
  return {
    home,
    url: async () => server?.url ?? (await readUrl(location)),
    kill: () => signalServer(location, 'SIGKILL'),
    hold,
    async close() {
      process.off('exit', onExit);
      await server?.close();
      if (await signalServer(location, 'SIGQUIT')) await untilGone(location);
      await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    },
  };
}

async function readUrl({ passwordFile, dataDirectory }: DataLocation): Promise<string | null> {
  const files = [passwordFile, join(dataDirectory, 'postmaster.opts')];
  const texts = await Promise.all(files.map((path) => readFile(path, 'utf8'))).catch(() => null);
  const [line = '', options = ''] = texts ?? [];
  const port = /"port=(\d+)"/.exec(options)?.[1];
  if (port === undefined) return null;
  const [, , , user, password] = line.trim().split(':');
  return `postgresql://${user}:${password}@127.0.0.1:${port}/${user}`;
}

async function signalServer({ dataDirectory }: DataLocation, signal: NodeJS.Signals): Promise<boolean> {
  try {
    process.kill(Number.parseInt(await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8'), 10), signal);
    return true;
  } catch {
    return false;
  }
}

/** While this process exits nothing can be waited for. */
function signalNow({ dataDirectory }: DataLocation): void {
  try {
    process.kill(Number.parseInt(readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8'), 10), 'SIGQUIT');
  } catch {
    // Already gone.
  }
}

async function untilGone({ dataDirectory }: DataLocation): Promise<void> {
  const deadline = performance.now() + 10_000;
  const path = join(dataDirectory, 'postmaster.pid');
  while (performance.now() < deadline) {
    const text = await readFile(path, 'utf8').catch(() => null);
    if (text === null) return;
    await delay(50);
  }
}
