import { destination, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'json' | 'pretty';
  /** Colours in `pretty`; off without a terminal or when `NO_COLOR` is set. */
  readonly colors?: boolean;
  /** Where the lines go; stderr unless given. */
  readonly output?: NodeJS.WritableStream;
}

/**
 * Logs go to stderr, so that stdout stays free for `--json`. Values under these names never reach a log line, whichever module
 * passes them: a second net below the rule that no secret and no personal data is handed to the logger at all.
 */
const REDACTED = ['authorization', 'password', 'token', 'secret', 'email', 'databaseUrl', 'redisUrl'].flatMap(
  (name) => [name, `*.${name}`, `*.*.${name}`],
);

/** Creates the process's logger. `pretty` is for a person at a terminal, `json` for everything else. */
export async function createLogger(options: LoggerOptions): Promise<Logger> {
  const settings = {
    level: options.level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    redact: { paths: REDACTED, censor: '[redacted]' },
  };
  // To the descriptor of stderr itself lines are written at once, also those before the end of the process.
  const other = options.output === process.stderr ? undefined : options.output;
  if (options.format === 'json')
    return pino(settings, other ?? surviving(destination({ fd: 2, sync: true, maxLength: MOST_KEPT })));
  const { default: pretty } = await import('pino-pretty');
  const stream = pretty({
    destination: other ?? 2,
    sync: true,
    colorize: options.colors ?? false,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
  });
  return pino(settings, surviving(stream));
}

/** How many characters wait in memory while lines cannot be written. */
const MOST_KEPT = 1_000_000;

/** A log that cannot be written, on a full disk for one, is no reason to stop: it is reported on the other output, once, and the work goes on. */
function surviving<T extends { on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown }>(
  stream: T,
): T {
  let isWarned = false;
  stream.on('error', ({ code }) => {
    if (isWarned) return;
    isWarned = true;
    process.stdout.write(`The log cannot be written (${code ?? 'unknown'}); the work goes on without it.\n`);
  });
  return stream;
}

export function silentLogger(): Logger {
  return pino({ enabled: false });
}
