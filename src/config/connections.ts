import { z } from 'zod';
import { account, entry as entrySchema, manners, type Rules, toConnection } from './account.ts';
import { CONNECTIONS_FILE, type FileEntry } from './connections-file.ts';
import { type Environment, type Given, textOf } from './environment.ts';
import type { Findings, Place } from './findings.ts';
import type { ConnectionConfig } from './types.ts';
import { projectIds, required } from './values.ts';
import type { VariableName } from './variables.ts';

/** One account can be described twice over: by variables, or by an entry of leadmirror.yaml. Same settings, same schemas. */
const SETTINGS = {
  projectId: 'TILEDESK_PROJECT_ID',
  email: 'TILEDESK_EMAIL',
  password: 'TILEDESK_PASSWORD',
  token: 'TILEDESK_TOKEN',
  auth: 'TILEDESK_AUTH',
  baseUrl: 'TILEDESK_BASE_URL',
  streams: 'TILEDESK_STREAMS',
  requestsPerMinute: 'TILEDESK_REQUESTS_PER_MINUTE',
  pageSize: 'TILEDESK_PAGE_SIZE',
  scanKey: 'TILEDESK_SCAN_KEY',
  allowCustomRole: 'TILEDESK_ALLOW_CUSTOM_ROLE',
} as const satisfies Readonly<Record<string, VariableName>>;

type SettingKey = keyof typeof SETTINGS;

const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[];

const CREDENTIALS = ['email', 'password', 'token'] as const satisfies readonly SettingKey[];

/** The keys of an entry of leadmirror.yaml. */
export const ENTRY_KEYS: readonly string[] = ['id', 'source', ...SETTING_KEYS, 'passwordFile', 'tokenFile'];

interface Context {
  readonly environment: Environment;
  readonly findings: Findings;
  readonly allowInsecureHttp: boolean;
}

interface Found {
  readonly connection: ConnectionConfig;
  readonly label: string;
}

/** All connections of environment and file. `entries` must be read before, so that variables used by the file are known. */
export function readConnections(entries: readonly FileEntry[], context: Context): readonly ConnectionConfig[] {
  const found = [
    ...fromEnvironment(entries.length > 0, context),
    ...entries.flatMap((entry) => fromEntry(entry, context)),
  ];
  const ids = new Set<string>();
  for (const { connection, label } of found) {
    if (ids.has(connection.id)) {
      const remedy = `keep one, or give the one in ${CONNECTIONS_FILE} an "id" of its own`;
      context.findings.problem(label, `this connection is configured twice; ${remedy}`);
    }
    ids.add(connection.id);
  }
  return found.map(({ connection }) => connection);
}

function fromEnvironment(hasEntries: boolean, { environment, findings, allowInsecureHttp }: Context): Found[] {
  const project = environment.given(SETTINGS.projectId);
  // Without a project, what leadmirror.yaml refers to is the file's, and perhaps only a part of a value.
  const given = (key: SettingKey): Given | null =>
    project === null && environment.isReferenced(SETTINGS[key]) ? null : environment.given(SETTINGS[key]);
  const place = placeOf(given, (key) => SETTINGS[key]);
  const rules: Rules = { allowInsecureHttp, name: (key) => SETTINGS[key] };
  const credential = CREDENTIALS.find((key) => given(key) !== null);
  if (project === null && credential === undefined) {
    // Settings of an account without a project do nothing, which is never what the operator wanted. They are checked all the same.
    findings.check(z.object(manners(rules)), textsOf(given), place);
    const idle = SETTING_KEYS.filter((key) => given(key) !== null).map((key) => SETTINGS[key]);
    if (hasEntries && idle.length > 0) {
      findings.note(
        `${idle.join(', ')} without effect: connections of ${CONNECTIONS_FILE} take their settings from there only`,
      );
    }
    return [];
  }
  const missing = `is not set, but ${SETTINGS[credential ?? 'email']} is; name the project to mirror`;
  const schema = z.object({ projectId: required(missing).pipe(projectIds), ...account(rules) });
  const checked = findings.check(schema, textsOf(given), place);
  if (checked === undefined) return [];
  const { projectId: ids, ...rest } = checked;
  const label = place.label(['projectId']);
  return ids.map((id) => ({ connection: toConnection({ projectId: id, ...rest }), label }));
}

function fromEntry({ given, label }: FileEntry, { findings, allowInsecureHttp }: Context): Found[] {
  const place = placeOf(given, label);
  const schema = entrySchema({ allowInsecureHttp, name: (key) => key });
  const input = { source: given('source')?.text, id: given('id')?.text, ...textsOf(given) };
  const connection = findings.check(schema, input, place);
  if (connection === undefined) return [];
  return [{ connection, label: place.label([given('id') === null ? 'projectId' : 'id']) }];
}

type Lookup<K extends string> = (key: K) => Given | null;

const placeOf = <K extends string>(given: Lookup<K>, label: (key: K) => string): Place => ({
  label: (path) => {
    const key = path.at(-1) as K;
    return given(key)?.label ?? label(key);
  },
});

/** The settings of an account as its schemas take them. */
function textsOf(given: Lookup<SettingKey>) {
  const texts = Object.fromEntries(SETTING_KEYS.map((key) => [key, textOf(given(key), SETTINGS[key])]));
  return { ...texts, auth: texts };
}
