import { type Config, type LoadOptions, loadConfig } from '../config.ts';
import { ConfigError, isAbort, LeadmirrorError } from '../errors.ts';
import { createLogger, type Logger } from '../logger.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

export interface CommandContext {
  readonly config: Config;
  readonly logger: Logger;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface CommandOptions extends LoadOptions {
  /** One-shot commands speak through their own output and log only what went wrong; the daemon logs as configured. */
  readonly isDaemon?: boolean;
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
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const config = options.config ?? loadConfig({}, options);
    const level = options.isDaemon || config.log.level !== 'info' ? config.log.level : 'warn';
    const logger = await createLogger({ ...config.log, level });
    for (const note of config.notes) logger.warn(note);
    process.exitCode = await work({ config, logger, signal: stop.signal });
  } catch (error) {
    process.exitCode = stop.signal.aborted && isAbort(error) ? EXIT.stoppedBySignal : explain(error);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function explain(error: unknown): ExitCode {
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

/** Words on the command line that mean nothing here. Exit code 2. */
export class UsageError extends Error {}
