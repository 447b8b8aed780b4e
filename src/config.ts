import { entryKeysOf } from './config/account-sources.ts';
import { readConnections } from './config/connections.ts';
import { readConnectionsFile } from './config/connections-file.ts';
import { Environment, type Given, hintAtTypos, textOf } from './config/environment.ts';
import { Findings, type Label } from './config/findings.ts';
import { settingsSchema } from './config/settings.ts';
import type { StoredEntry } from './config/stored.ts';
import type { Config } from './config/types.ts';
import { flag, isShortSecret, timeZone } from './config/values.ts';
import { VARIABLES } from './config/variables.ts';
import { ConfigError } from './errors.ts';
import { isLoopback } from './loopback.ts';

export { type ConfigChanges, compareConfigs, isSameAccount, withLiveChanges } from './config/changes.ts';
export { describeConfig } from './config/describe.ts';
export { policyOf } from './config/privacy.ts';
export { privacyAdvice } from './config/privacy-advice.ts';
export { readOptionalText } from './config/read-file.ts';
export { type StreamSchedule, scheduleOf } from './config/schedules.ts';
export { hostsOf, type StoredEntry, type UnusableConnection } from './config/stored.ts';
export { TILKEE_STREAM_NAMES } from './config/tilkee.ts';
export type {
  Config,
  ConnectionConfig,
  TiledeskConnectionConfig,
  TilkeeConnectionConfig,
} from './config/types.ts';
export { VARIABLES, type Variable, type VariableName } from './config/variables.ts';

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where `.env` and `leadmirror.yaml` are looked for, and what relative paths start from. */
  readonly cwd: string;
  /** Whether a person watches the log: decides its format and colours. */
  readonly isTerminal: boolean;
}

export interface LoadOptions {
  /** False: none is needed. `without_key`: with LEADMIRROR_SECRET_KEY, accounts may be in the database. */
  readonly requireConnections?: boolean | 'without_key';
  /** The accounts that the database keeps, when it was asked for them. */
  readonly stored?: readonly StoredEntry[];
  /** Called with the absolute path of leadmirror.yaml and of every file that it names, also of a missing one. */
  readonly onFile?: (path: string) => void;
}

/**
 * Reads the configuration: environment, `.env`, files named by NAME_FILE, leadmirror.yaml. Nothing else reads them.
 * The result is deeply frozen. @throws ConfigError with every problem found, not only the first
 */
export function loadConfig(sources: Partial<ConfigSources> = {}, options: LoadOptions = {}): Config {
  const { env = process.env, cwd = process.cwd(), isTerminal = process.stderr.isTTY === true } = sources;
  const findings = new Findings();
  const environment = new Environment({ env, cwd, findings });

  const file = readConnectionsFile(entryKeysOf, { cwd, environment, findings, onFile: options.onFile });
  const given = (name: string): Given | null => file.settings.get(name) ?? environment.given(name);
  const labelOf: Label = ([name]) => given(String(name))?.label ?? String(name);
  const texts = Object.fromEntries(VARIABLES.map(({ name }) => [name, textOf(given(name), name)]));
  const allowInsecureHttp = flag.catch(false).parse(texts.ALLOW_INSECURE_HTTP);
  const schema = settingsSchema({
    cwd,
    isTerminal,
    allowInsecureHttp,
    // The schedules are checked in their time zone; where that is wrong, it is one problem and not three.
    timezone: timeZone.catch('UTC').parse(texts.SYNC_TIMEZONE),
    hasOpsToken: texts.OPS_TOKEN !== undefined,
    isPublic: !isLoopback(texts.OPS_HOST ?? ''),
    historyLabel: labelOf(['SYNC_HISTORY_STREAMS']),
  });
  const settings = findings.check(schema, texts, labelOf);
  const { requireConnections = true, stored = [] } = options;
  const isRequired =
    requireConnections === 'without_key' ? texts.LEADMIRROR_SECRET_KEY === undefined : requireConnections;
  const { connectionHosts: privateHosts = [] } = settings ?? {};
  const context = { environment, findings, allowInsecureHttp, isRequired, privateHosts };
  const accounts = readConnections({ entries: file.entries, stored }, context);

  if (settings?.ops.token && isShortSecret(settings.ops.token)) {
    findings.note('OPS_TOKEN is short; 16 characters or more are hard to guess');
  }
  hintAtTypos(environment, findings);

  // A misspelt name explains a missing one, so it is listed with the problems.
  if (settings === undefined || findings.problems.length > 0) {
    throw new ConfigError([...findings.problems, ...findings.hints]);
  }
  const hints = findings.hints.map(({ variable, message }) => `${variable} ${message}`);
  const { openFiles } = findings;
  return deepFreeze({ ...settings, ...accounts, notes: [...hints, ...findings.notes], openFiles });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
