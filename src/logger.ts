import { destination, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'json' | 'pretty';
  /** Colours in `pretty`; off when nobody watches or `NO_COLOR` is set. */
  readonly colors?: boolean;
}

/**
 * Logs go to stderr, so that stdout stays free for `--json`. Values under these names never reach a log line, whoever
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
  if (options.format === 'json') return pino(settings, destination({ fd: 2, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  const stream = pretty({
    destination: 2,
    sync: true,
    colorize: options.colors ?? false,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
  });
  return pino(settings, stream);
}

/** A logger that says nothing, for callers that have nobody to talk to. */
export function silentLogger(): Logger {
  return pino({ enabled: false });
}
