import { checkConnections } from '../app/check-connections.ts';
import { type ConnectionStore, createConnectionStore, type ListedConnection } from '../app/connection-store.ts';
import { loadWithStored } from '../app/stored-connections.ts';
import { privateKeysOf, secretKeysOf } from '../config/account-sources.ts';
import type { Mapping } from '../config/entry.ts';
import { createCheckList } from './check-results.ts';
import { type CommandContext, type CommandProcess, runOnDatabase, UsageError } from './command.ts';
import { readSecrets, type SecretOptions, splitPair } from './connection-secrets.ts';
import { formatCount } from './format.ts';
import { createAsker } from './init/ask.ts';

interface ConnectionOptions extends SecretOptions {
  readonly id?: string;
  readonly json?: boolean;
}

export async function addConnection(
  source: string,
  settings: readonly string[],
  options: ConnectionOptions,
  proc: CommandProcess,
): Promise<void> {
  await withStore(options, proc, async (store, context) => {
    const known = privateKeysOf(source);
    const given = readSettings(settings, secretKeysOf(source));
    const secrets = await readSecrets(options, { ...context, known, unlessGiven: signInOf(source, given) });
    const { id: wanted } = options;
    const id = await store.add({ ...given, ...secrets, source, ...(wanted !== undefined && { id: wanted }) });
    context.printResult({ added: id }, () => [`${id} is added. ${TAKEN_UP} Try it: leadmirror connection check ${id}`]);
  });
}

export async function editConnection(
  id: string,
  settings: readonly string[],
  options: ConnectionOptions,
  proc: CommandProcess,
): Promise<void> {
  await withStore(options, proc, async (store, context) => {
    const found = (await store.list()).find((one) => one.id === id);
    const known = privateKeysOf(found?.source);
    const given = readSettings(settings, secretKeysOf(found?.source));
    const secrets = await readSecrets(options, { ...context, known, unlessGiven: [] });
    if (Object.keys({ ...given, ...secrets }).length === 0) {
      throw new UsageError('What is to change? Give key=value, or --secret with the name of a secret');
    }
    await store.edit(id, { ...given, ...secrets });
    context.printResult({ edited: id }, () => [`${id} is changed. ${TAKEN_UP}`]);
  });
}

export async function listConnections(options: { readonly json?: boolean }, proc: CommandProcess): Promise<void> {
  await withStore(options, proc, async (store, { printResult }) => {
    const connections = await store.list();
    printResult({ connections }, () =>
      connections.length === 0
        ? ['The database keeps no account. Add one: leadmirror connection add tiledesk projectId=… email=…']
        : connections.map(describe),
    );
  });
}

export async function removeConnection(
  id: string,
  options: { readonly json?: boolean; readonly erase?: boolean; readonly yes?: boolean },
  proc: CommandProcess,
): Promise<void> {
  if (options.erase) return eraseConnection(id, options, proc);
  if (options.yes) throw new UsageError('--yes goes with --erase');
  await withStore(options, proc, async (store, { printResult }) => {
    const kept = await store.remove(id);
    printResult({ removed: id, kept }, () => [
      `${id} is removed: its secrets are deleted, and its schedules and alerts end within a minute.`,
      kept.length === 0 ? 'Nothing of it was mirrored.' : `What was mirrored stays, with its runs: ${kept.join(', ')}`,
    ]);
  });
}

async function eraseConnection(
  id: string,
  options: { readonly json?: boolean; readonly yes?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await withStore(options, proc, async (store, { printResult, signal }) => {
    if (!options.yes) {
      if (proc.stdin.isTTY !== true) throw new UsageError('Without a terminal, --erase needs --yes');
      const ask = createAsker({ input: proc.stdin, output: proc.stderr, signal });
      const typed = await ask.text({
        message: `Everything of ${id} will be deleted: rows, history, runs, secrets. Type its id:`,
      });
      if (typed !== id) throw new UsageError('That is not its id; nothing was erased');
    }
    const erased = await store.erase(id, { signal });
    printResult({ erased: id, rows: erased }, () => [
      ...Object.entries(erased).map(([table, count]) => `  ${table}: ${formatCount(count)}`),
      `${id} is erased, with its secrets. ${NOT_REACHED}`,
    ]);
  });
}

const NOT_REACHED =
  'Not reached: the upstream itself, backups, replicas until they have caught up, exports, and old versions of rows in the files until Postgres vacuums them. Hashes that keep erased persons from coming back stay.';

/** Tries one account of the database, or all of them; changes nothing. */
export async function checkKept(
  id: string | undefined,
  { json = false }: { readonly json?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json, proc }, async (database, context) => {
    const config = await loadWithStored(context.stored, database, context.config.secretKey);
    const isMeant = (one: { readonly id: string }) => (id ?? one.id) === one.id;
    const connections = config.connections.filter((one) => config.stored.includes(one.id) && isMeant(one));
    const unusable = config.unusable.filter(isMeant);
    if (connections.length + unusable.length === 0) {
      const known = [...config.stored, ...config.unusable.map((one) => one.id)].join(', ') || 'none';
      throw new UsageError(
        `There is nothing to try${id === undefined ? '' : ` of ${id}`}. The database keeps: ${known}`,
      );
    }
    const list = createCheckList(context);
    await checkConnections({ ...config, connections, unusable }, context, database, list.attempt);
    return list.end();
  });
}

const TAKEN_UP = 'Running processes take it up within a minute.';

function withStore(
  { json }: { readonly json?: boolean },
  proc: CommandProcess,
  work: (store: ConnectionStore, context: CommandContext) => Promise<void>,
): Promise<void> {
  return runOnDatabase({ json, proc }, async (database, context) => {
    const { config, stored: load } = context;
    await work(createConnectionStore({ database, secretKey: config.secretKey, load }), context);
  });
}

/** What a person signs in with: a name, unless it was given, and the password. */
function signInOf(source: string, given: Mapping): readonly string[] {
  const secrets = secretKeysOf(source);
  const names = privateKeysOf(source).filter((key) => !secrets.includes(key) && given[key] === undefined);
  return [...names, 'password'];
}

/** `schedule.incremental=off` is a key inside of another. A value that is empty removes the key. @throws UsageError */
function readSettings(texts: readonly string[], secrets: readonly string[]): Mapping {
  const settings: Record<string, unknown> = {};
  for (const text of texts) {
    const [key, value] = splitPair(text);
    if (secrets.includes(key)) {
      throw new UsageError(
        `${key} is a secret, and arguments are seen by others: use --secret ${key}, or --secret-file ${key}=path`,
      );
    }
    const path = key.split('.');
    let group = settings;
    for (const name of path.slice(0, -1)) {
      const inner = (group[name] ?? {}) as Record<string, unknown>;
      group[name] = inner;
      group = inner;
    }
    group[path.at(-1) ?? key] = value;
  }
  return settings;
}

function describe({ id, source, state, code, reason, settings, secrets }: ListedConnection): string {
  const { source: _, ...shown } = settings;
  const values = Object.entries(shown).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const kept = secrets === null ? 'secrets not readable here' : `with ${secrets.join(', ')}`;
  const why = reason === null ? '' : `\n  ${code}: ${reason}`;
  return `${id}  ${source}  ${state}  ${[...values, kept].join('  ')}${why}`;
}
