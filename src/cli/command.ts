import { type MirrorDatabase, openMirrorDatabase } from '../app/mirror-database.ts';
import type { LoadStored } from '../app/stored-connections.ts';
import { type App, createApp } from '../app.ts';
import { type Config, type ConfigSources, type LoadOptions, loadConfig } from '../config.ts';
import { ConfigError, errorCode, isAbort, LeadmirrorError } from '../errors.ts';
import { createLogger, type Logger } from '../logger.ts';
import { replaceFile } from '../replace-file.ts';
import { databaseError } from '../store/faults.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { createPrinter, helpLines, type Printer } from './format.ts';

export interface StreamOptions {
  readonly connection?: string;
  readonly json?: boolean;
}

/** What a command uses of its process. Tests have others than `process`, so that commands run side by side. */
export type CommandProcess = Pick<
  NodeJS.Process,
  'env' | 'cwd' | 'stdin' | 'stdout' | 'stderr' | 'exitCode' | 'exit' | 'on' | 'once' | 'off'
>;

export interface CommandContext extends Printer {
  readonly proc: CommandProcess;
  readonly config: Config;
  readonly logger: Logger;
  /** The configuration with the accounts that the database keeps. @throws ConfigError */
  readonly stored: LoadStored;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface CommandOptions extends LoadOptions {
  readonly proc: CommandProcess;
  /** Other commands print their results and log only what went wrong; the daemon logs as configured. */
  readonly isDaemon?: boolean;
  /** The command was asked for one JSON document: an error that ends it is one too. */
  readonly json?: boolean;
  readonly config?: Config;
}

/** The frame of every command: configuration, logger, signals, and what an error becomes: message and exit code. */
export async function runCommand(
  options: CommandOptions,
  work: (context: CommandContext) => Promise<ExitCode | undefined>,
): Promise<void> {
  const { proc } = options;
  const stop = new AbortController();
  const onSignal = () => {
    // A second Ctrl-C means now.
    if (stop.signal.aborted) proc.exit(EXIT.stoppedBySignal);
    stop.abort();
    if (options.isDaemon) endInTime(proc, shutdownMs);
  };
  proc.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  let shutdownMs = 20_000;
  try {
    const load = (more: LoadOptions) => options.config ?? loadConfig(sourcesOf(proc), { ...options, ...more });
    // What is required may be in the database.
    const config = load(options.requireConnections !== undefined ? {} : { requireConnections: 'without_key' });
    const stored: LoadStored = (entries) => load({ stored: entries });
    shutdownMs = config.workers.shutdownTimeoutMs;
    const level = options.isDaemon || config.log.level !== 'info' ? config.log.level : 'warn';
    const logger = await createLogger({ ...config.log, level, output: proc.stderr });
    for (const note of config.notes) {
      if (options.isDaemon) logger.warn(note);
      else if (logger.isLevelEnabled('warn')) proc.stderr.write(`Note: ${note}\n`);
    }
    const context = { proc, config, stored, logger, signal: stop.signal, ...createPrinter(proc.stdout, options.json) };
    proc.exitCode = (await work(context)) ?? EXIT.done;
  } catch (error) {
    // To be stopped is how a daemon ends well, also while it still waits for its database.
    const stopped = options.isDaemon ? EXIT.done : EXIT.stoppedBySignal;
    proc.exitCode = stop.signal.aborted && isAbort(error) ? stopped : explain(error, options);
  } finally {
    proc.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

export function sourcesOf({ env, cwd, stderr }: CommandProcess): ConfigSources {
  return { env, cwd: cwd(), isTerminal: stderr.isTTY === true };
}

export function runOnApp(
  options: CommandOptions,
  work: (app: App, context: CommandContext) => Promise<ExitCode | undefined>,
): Promise<void> {
  return runCommand(options, async (context) => {
    const app = await createApp(context.config, { ...context, hasMetrics: false });
    try {
      return await work(app, context);
    } finally {
      await app.close();
    }
  });
}

/** A command that needs the mirror's database only: no account has to be configured for it. */
export function runOnDatabase(
  { json, proc }: Pick<CommandOptions, 'json' | 'proc'>,
  work: (database: MirrorDatabase, context: CommandContext) => Promise<ExitCode | undefined>,
): Promise<void> {
  return runCommand({ json, proc, requireConnections: false }, async (context) => {
    const database = await openMirrorDatabase(context.config, context);
    try {
      return await work(database, context).catch((error: unknown) => {
        throw databaseError(error, database.address);
      });
    } finally {
      await database.close();
    }
  });
}

/** What is left of an orderly end after its time: closing what hangs. */
const GRACE_MS = 3_000;

/** A server that is frozen answers no farewell, and would hold the process for ever. */
function endInTime(proc: CommandProcess, shutdownMs: number): void {
  setTimeout(() => {
    proc.stderr.write(
      'Not everything ended in time; the process ends all the same. Nothing is lost: the next one goes on from the checkpoints.\n',
    );
    proc.exit(EXIT.failed);
  }, shutdownMs + GRACE_MS).unref();
}

/** People read stderr, scripts the document on stdout. */
export function explain(thrown: unknown, { json = false, proc }: Pick<CommandOptions, 'json' | 'proc'>): ExitCode {
  const error = databaseError(thrown, 'of DATABASE_URL');
  createPrinter(proc.stdout, json).printResult({ error: toJson(error) }, () => []);
  const help = json || error instanceof UsageError ? [] : helpLines([errorCode(error)]);
  proc.stderr.write(`${[describe(error), ...help].join('\n')}\n`);
  return error instanceof ConfigError || error instanceof UsageError ? EXIT.usage : EXIT.failed;
}

function describe(error: unknown): string {
  if (error instanceof ConfigError) {
    const lines = error.problems.map(({ variable, message }) => `  ${variable}: ${message}`);
    return `The configuration cannot be used:\n${lines.join('\n')}`;
  }
  if (error instanceof UsageError || error instanceof LeadmirrorError) return error.message;
  return `Unexpected error, please report it:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

function toJson(error: unknown) {
  if (error instanceof UsageError) return { code: 'usage', message: error.message };
  if (!(error instanceof LeadmirrorError)) {
    return { code: errorCode(error), message: 'an error that leadmirror did not foresee; stderr has it' };
  }
  const { code, message } = error;
  return error instanceof ConfigError ? { code, message, problems: error.problems } : { code, message };
}

/** @throws UsageError that ends with the remedy when the file cannot be written */
export async function writeOutput(path: string, text: string, remedy: string, isPrivate = false): Promise<void> {
  await replaceFile(path, text, { isPrivate }).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be written (${error.code ?? 'unknown reason'})${remedy}`);
  });
}

/** An unknown name on the command line. Exit code 2. */
export class UsageError extends Error {}
