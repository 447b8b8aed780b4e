import { type Config, type LoadOptions, loadConfig } from '../config.ts';
import { ConfigError, errorCode, isAbort, LeadmirrorError } from '../errors.ts';
import { createLogger, type Logger } from '../logger.ts';
import { databaseError } from '../store/faults.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { printJson } from './format.ts';

export interface CommandContext {
  readonly config: Config;
  readonly logger: Logger;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface CommandOptions extends LoadOptions {
  /** One-shot commands speak through their own output and log only what went wrong; the daemon logs as configured. */
  readonly isDaemon?: boolean;
  /** The command was asked for one JSON document: an error that ends it is one too. */
  readonly json?: boolean;
  readonly config?: Config;
}

/**
 * The frame of every command: configuration, logger, signals, and the one place where an error becomes a message and an exit code. Nothing is printed
 * twice, nothing ends without a word.
 */
export async function runCommand(
  options: CommandOptions,
  work: (context: CommandContext) => Promise<ExitCode>,
): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => {
    // A second Ctrl-C means now.
    if (stop.signal.aborted) process.exit(EXIT.stoppedBySignal);
    stop.abort();
    if (options.isDaemon) endInTime(shutdownMs);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  let shutdownMs = 20_000;
  try {
    const config = options.config ?? loadConfig({}, options);
    shutdownMs = config.workers.shutdownTimeoutMs;
    const level = options.isDaemon || config.log.level !== 'info' ? config.log.level : 'warn';
    const logger = await createLogger({ ...config.log, level });
    for (const note of config.notes) {
      if (options.isDaemon) logger.warn(note);
      else if (logger.isLevelEnabled('warn')) process.stderr.write(`Note: ${note}\n`);
    }
    process.exitCode = await work({ config, logger, signal: stop.signal });
  } catch (error) {
    // To be stopped is how a daemon ends well, also while it still waits for its database.
    const stopped = options.isDaemon ? EXIT.done : EXIT.stoppedBySignal;
    process.exitCode = stop.signal.aborted && isAbort(error) ? stopped : explain(error, options);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** What is left of an orderly end after its time: closing what hangs. */
const GRACE_MS = 3_000;

/** A server that is frozen answers no farewell, and would hold the process for ever. */
function endInTime(shutdownMs: number): void {
  setTimeout(() => {
    process.stderr.write(
      'Not everything ended in time; the process ends all the same. Nothing is lost: the next one goes on from the checkpoints.\n',
    );
    process.exit(EXIT.failed);
  }, shutdownMs + GRACE_MS).unref();
}

/** People read stderr, scripts the document on stdout. */
export function explain(thrown: unknown, { json = false }: Pick<CommandOptions, 'json'> = {}): ExitCode {
  const error = databaseError(thrown, 'of DATABASE_URL');
  if (json) printJson({ error: toJson(error) });
  if (error instanceof ConfigError) {
    const lines = error.problems.map(({ variable, message }) => `  ${variable}: ${message}`);
    process.stderr.write(`The configuration cannot be used:\n${lines.join('\n')}\n`);
    return EXIT.usage;
  }
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n`);
    return EXIT.usage;
  }
  if (error instanceof LeadmirrorError) {
    process.stderr.write(`${error.message}\n`);
    return EXIT.failed;
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`Unexpected error, please report it:\n${detail}\n`);
  return EXIT.failed;
}

function toJson(error: unknown) {
  if (error instanceof UsageError) return { code: 'usage', message: error.message };
  if (!(error instanceof LeadmirrorError)) {
    return { code: errorCode(error), message: 'an error that leadmirror did not foresee; stderr has it' };
  }
  const { code, message } = error;
  return error instanceof ConfigError ? { code, message, problems: error.problems } : { code, message };
}

/** Words on the command line that mean nothing here. Exit code 2. */
export class UsageError extends Error {}
