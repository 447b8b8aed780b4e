import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { parseEnv, promisify } from 'node:util';
import { type Answers, decidedByProcess, loadAnswers } from '../config/answers.ts';
import { loadConfig } from '../config.ts';
import { ConfigError, isAbort } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { replaceFile } from '../replace-file.ts';
import { type CommandProcess, runCommand, UsageError } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type Asker, Cancelled, createAsker } from './init/ask.ts';
import { type Changes, mergeDotEnv, readIfThere, UnwritableError } from './init/dot-env.ts';
import { askMore } from './init/more.ts';
import { askStorage } from './init/storage.ts';
import { askTiledesk } from './init/tiledesk.ts';
import { askTilkee } from './init/tilkee.ts';
import type { TrialParts } from './init/trial.ts';

/** Asks for what leadmirror needs, tries every answer, and writes `.env` at the very end. */
export async function init(_: object, proc: CommandProcess): Promise<void> {
  if (proc.stdin.isTTY !== true || proc.stdout.isTTY !== true) {
    throw new UsageError(
      'init asks questions, and there is no terminal to ask on. Copy .env.example to .env and fill it in, or set the variables in the environment; then try it with: leadmirror check',
    );
  }
  const { stdin: input, stdout: output, env } = proc;
  const cwd = proc.cwd();
  let isSyncWanted = false;
  const onSyncWanted = () => {
    isSyncWanted = true;
  };
  await runCommand({ proc, config: loadAnswers({}, { env, cwd }) }, ({ logger, signal }) =>
    runInit({ input, output, logger, signal, cwd, env, onSyncWanted }),
  );
  if (isSyncWanted) await (await import('./sync.ts')).sync([], {}, proc);
}

export interface InitParts extends TrialParts {
  readonly input: Readable;
  readonly output: Writable;
  readonly logger: Logger;
  readonly onSyncWanted: () => void;
}

export async function runInit(parts: InitParts): Promise<ExitCode> {
  const ask = createAsker(parts);
  try {
    return await setUp(ask, parts);
  } catch (error) {
    if (!(error instanceof Cancelled) && !isAbort(error)) throw error;
    ask.cancel('Stopped. Nothing was written.');
    return EXIT.stoppedBySignal;
  }
}

async function setUp(ask: Asker, parts: InitParts): Promise<ExitCode> {
  ask.begin('leadmirror: what should be mirrored, and where?');
  const sources = await ask.chooseSome(
    'What should be mirrored? (space selects, enter continues)',
    [
      { value: 'tiledesk', label: 'Tiledesk', hint: 'leads and requests' },
      { value: 'tilkee', label: 'Tilkee', hint: 'links and visits' },
    ],
    { initialValues: ['tiledesk'] },
  );
  const tiledesk = sources.includes('tiledesk') ? await askTiledesk(ask, parts) : {};
  const tilkee = sources.includes('tilkee') ? await askTilkee(ask, parts) : { answers: {}, needsLogin: false };
  const storage = await askStorage(ask, parts);
  const known = { ...parseEnv(readIfThere(join(parts.cwd, '.env')) ?? ''), ...parts.env };
  const hasSecretKey = 'LEADMIRROR_SECRET_KEY' in known || 'LEADMIRROR_SECRET_KEY_FILE' in known;
  const more = await askMore(ask, parts, { hasTiledesk: sources.includes('tiledesk'), hasSecretKey });
  const answers = { ...tiledesk, ...tilkee.answers, ...storage.answers, ...more };
  const changes = { ...withoutFiles(answers), ...storage.forCompose };
  if (!(await write(ask, parts, changes))) return EXIT.stoppedBySignal;
  await warn(ask, parts, Object.keys(changes));
  const maySync = !tilkee.needsLogin && !storage.isCompose;
  if (maySync && (await ask.confirm('Read everything now, once?'))) parts.onSyncWanted();
  ask.end(nextSteps({ needsLogin: tilkee.needsLogin, isCompose: storage.isCompose }));
  return EXIT.done;
}

/** What was answered replaces a file that the same variable was read from. */
function withoutFiles(answers: Answers): Changes {
  return Object.fromEntries(
    Object.entries(answers).flatMap(([name, value]) => [
      [name, value ?? null],
      [`${name}_FILE`, null],
    ]),
  );
}

const FRESH = '# Written by leadmirror init. All settings are in .env.example; try them with: leadmirror check\n\n';

async function write(ask: Asker, { cwd }: InitParts, changes: Changes): Promise<boolean> {
  const path = join(cwd, '.env');
  const before = readIfThere(path);
  let text: string;
  try {
    text = mergeDotEnv(before ?? FRESH, changes);
  } catch (error) {
    if (!(error instanceof UnwritableError)) throw error;
    throw new UsageError(`${error.message} Correct it by hand, then start again. Nothing was written.`);
  }
  const question =
    before === null
      ? `Write ${path}?`
      : `There is a ${path} already. Change these settings in it? The rest stays, and a copy is kept.`;
  if (!(await ask.confirm(question))) {
    ask.cancel('Nothing was written.');
    return false;
  }
  if (before !== null) ask.print('info', `Kept the one before as ${await backUp(path)}`);
  await replaceFile(path, text, { isPrivate: true });
  ask.print('success', `Wrote ${path}, readable by you only`);
  return true;
}

/** What could still keep the answers from working. */
async function warn(ask: Asker, { cwd, env }: InitParts, names: readonly string[]): Promise<void> {
  for (const file of ['.env', '.env.bak']) {
    if (await isOpenToGit(cwd, file)) ask.print('warn', `git does not ignore ${file} here: add it to .gitignore`);
  }
  const written = names.filter((name) => !name.endsWith('_FILE'));
  const decided = decidedByProcess(written, { env });
  if (decided.length > 0) {
    ask.print('warn', `The environment wins over .env, and it has: ${decided.join(', ')}. Unset what is not meant.`);
  }
  try {
    loadConfig({ cwd, ...(env !== undefined && { env }) }, { requireConnections: false });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    ask.print('warn', `The configuration as a whole cannot be used yet:\n${error.message}`);
  }
}

function nextSteps({ needsLogin, isCompose }: { readonly needsLogin: boolean; readonly isCompose: boolean }): string {
  if (isCompose) {
    const login = needsLogin ? 'docker compose run --rm leadmirror tilkee login --no-listen, then ' : '';
    return `Next: ${login}docker compose up -d, then docker compose exec leadmirror node bin/leadmirror.js status`;
  }
  const login = needsLogin ? 'npx leadmirror tilkee login, then ' : '';
  return `Next: ${login}npx leadmirror check (tries everything), then npm start (the daemon)`;
}

const MAX_BACKUPS = 1000;

/** Keeps the file as `<path>.bak`, or the first free `<path>.bak.<n>`, readable by its owner only. Returns where. */
async function backUp(path: string): Promise<string> {
  for (let number = 0; number < MAX_BACKUPS; number++) {
    const backup = number === 0 ? `${path}.bak` : `${path}.bak.${number}`;
    try {
      await writeFile(backup, await readFile(path), { flag: 'wx', mode: 0o600 });
      return backup;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      await rm(backup, { force: true });
      throw error;
    }
  }
  throw new Error(`there are ${MAX_BACKUPS} backups of ${path} already; remove some`);
}

/** Would git take this file in? False outside of a repository, and where there is no git. */
async function isOpenToGit(cwd: string, file: string): Promise<boolean> {
  try {
    await promisify(execFile)('git', ['check-ignore', '--quiet', file], { cwd });
    return false;
  } catch (error) {
    // 1: not ignored. 128: no repository.
    return (error as { code?: unknown }).code === 1;
  }
}
