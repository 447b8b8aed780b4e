import { ENTRY_KEYS, readConnections } from './config/connections.ts';
import { CONNECTIONS_FILE, readConnectionsFile } from './config/connections-file.ts';
import { Environment, hintAtTypos, textOf } from './config/environment.ts';
import { Findings } from './config/findings.ts';
import { settingsSchema } from './config/settings.ts';
import type { Config, Settings } from './config/types.ts';
import { flag, timeZone } from './config/values.ts';
import { LATER_VARIABLES, VARIABLES } from './config/variables.ts';
import { ConfigError } from './errors.ts';

export { type ConfigLine, describeConfig } from './config/describe.ts';
export type {
  Config,
  ConnectionConfig,
  LogLevel,
  TiledeskAuth,
  TiledeskConnectionConfig,
  TiledeskStreamName,
} from './config/types.ts';
export { TILEDESK_STREAM_NAMES } from './config/values.ts';
export { VARIABLES, type Variable, type VariableName } from './config/variables.ts';

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where `.env` and `leadmirror.yaml` are looked for, and what relative paths start from. */
  readonly cwd: string;
  /** Whether a person watches the log: decides its format and colours. */
  readonly isTerminal: boolean;
}

export interface LoadOptions {
  /** False for commands that only need the database. What is configured has to be right all the same. */
  readonly requireConnections?: boolean;
}

/**
 * Reads the whole configuration: the process's environment, `.env`, files named by NAME_FILE, `leadmirror.yaml`. The only
 * place in the program that looks at any of them. The result is deeply frozen.
 *
 * @throws ConfigError with every problem found, not only the first
 */
export function loadConfig(sources: Partial<ConfigSources> = {}, options: LoadOptions = {}): Config {
  const { env = process.env, cwd = process.cwd(), isTerminal = process.stderr.isTTY === true } = sources;
  const findings = new Findings();
  const environment = new Environment({ env, cwd, findings });

  const settings = readSettings(environment, { cwd, isTerminal, findings });
  const allowInsecureHttp = flag.catch(false).parse(environment.given('ALLOW_INSECURE_HTTP')?.text);
  const entries = readConnectionsFile(ENTRY_KEYS, { cwd, environment, findings });
  const connections = readConnections(entries, { environment, findings, allowInsecureHttp });
  if (connections.length === 0 && options.requireConnections !== false) explainNoConnection(environment, findings);

  if (settings !== undefined) noteOnSettings(settings, findings);
  noteAboutLaterVariables(environment, findings);
  hintAtTypos(environment, findings);

  // A misspelt name explains a missing one, so it is told along with the problems.
  if (settings === undefined || findings.problems.length > 0) {
    throw new ConfigError([...findings.problems, ...findings.hints]);
  }
  const hints = findings.hints.map(({ variable, message }) => `${variable} ${message}`);
  return deepFreeze({ ...settings, connections, notes: [...hints, ...findings.notes] });
}

function readSettings(
  environment: Environment,
  { cwd, isTerminal, findings }: { cwd: string; isTerminal: boolean; findings: Findings },
): Settings | undefined {
  const names = [...VARIABLES.map(({ name }) => name), 'TILKEE_STORE_LINKS'];
  const texts = Object.fromEntries(names.map((name) => [name, textOf(environment.given(name), name)]));
  // The schedules are checked in their time zone; where that is wrong, it is one problem and not three.
  const timezone = timeZone.catch('UTC').parse(texts.SYNC_TIMEZONE);
  const hasOpsToken = texts.OPS_TOKEN !== undefined;
  return findings.check(settingsSchema({ cwd, isTerminal, timezone, hasOpsToken }), texts, {
    label: ([name]) => environment.given(String(name))?.label ?? String(name),
  });
}

/** Only for the newcomer with nothing at all: half a connection has its own, more exact problems. */
function explainNoConnection(environment: Environment, findings: Findings): void {
  const isExplained = findings.problems.some(
    ({ variable }) => variable === 'TILEDESK_PROJECT_ID' || variable.startsWith(CONNECTIONS_FILE),
  );
  if (isExplained || environment.given('TILEDESK_PROJECT_ID') !== null) return;
  findings.problem(
    'TILEDESK_PROJECT_ID',
    'no Tiledesk project is configured; set TILEDESK_PROJECT_ID, TILEDESK_EMAIL and TILEDESK_PASSWORD (or TILEDESK_TOKEN) ' +
      `in the environment or in .env (.env.example shows all), or write a ${CONNECTIONS_FILE}. ` +
      'To look around first, run `npm run demo`: it needs no configuration',
  );
}

function noteOnSettings({ databaseUrl, redis, ops }: Settings, findings: Findings): void {
  if (ops.token !== null && ops.token.length < 16) {
    findings.note('OPS_TOKEN is short; 16 characters or more are hard to guess');
  }
  if (databaseUrl === null || redis !== null) return;
  const url = new URL(databaseUrl);
  if (url.port !== '6432' && url.searchParams.get('pgbouncer') !== 'true') return;
  findings.note(
    'DATABASE_URL looks like PgBouncer; the queue in Postgres needs a direct connection: use that, or set REDIS_URL',
  );
}

function noteAboutLaterVariables(environment: Environment, findings: Findings): void {
  const isLater = (name: string): boolean => LATER_VARIABLES.includes(name.replace(/_FILE$/, ''));
  const ours = environment.names().filter((name) => !environment.isReferenced(name));
  const tilkee = ours.filter((name) => name.startsWith('TILKEE_'));
  if (tilkee.length > 0) findings.note(`Tilkee is not mirrored by this version yet: ${tilkee.join(', ')} ignored`);
  const other = ours.filter((name) => isLater(name) && !name.startsWith('TILKEE_'));
  if (other.length > 0) findings.note(`Not used by this version yet: ${other.join(', ')} ignored`);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
