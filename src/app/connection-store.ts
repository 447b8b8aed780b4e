import { isDeepStrictEqual } from 'node:util';
import { type Clock, systemClock } from '../clock.ts';
import { privateKeysOf, secretKeysOf } from '../config/account-sources.ts';
import { isMapping, type Mapping } from '../config/entry.ts';
import { ConfigError, ConnectionError } from '../errors.ts';
import type { Prisma } from '../generated/prisma/client.ts';
import {
  type KeptConnection,
  readKeptConnections,
  removeKeptConnection,
  writeKeptConnection,
} from '../store/engine/connections.ts';
import { beginErasure, type ErasedRows, endErasure, eraseRows } from '../store/engine/erase-connection.ts';
import { readConnectionsElsewhere } from '../store/engine/processes.ts';
import { assertSecretKey } from '../store/engine/secret-key.ts';
import { listStreams } from '../store/engine/streams.ts';
import type { MirrorDatabase } from './mirror-database.ts';
import { addressesOf, type LoadStored, type SealedAccount, toStoredEntry } from './stored-connections.ts';

export type ListedConnection = ReturnType<typeof describeRow>;

interface StoreParts {
  readonly database: Pick<MirrorDatabase, 'prisma'>;
  readonly secretKey: string | null;
  readonly load: LoadStored;
}

export type ConnectionStore = ReturnType<typeof createConnectionStore>;

/** What people and programs do with the accounts of the database. Running processes take it up by themselves. */
export function createConnectionStore({ database: { prisma }, secretKey, load }: StoreParts) {
  async function requireKey(): Promise<string> {
    if (secretKey === null) throw new ConfigError([{ variable: 'LEADMIRROR_SECRET_KEY', message: NO_KEY }]);
    await assertSecretKey(prisma, secretKey);
    return secretKey;
  }

  async function read(id: string): Promise<KeptConnection> {
    const [row] = await readKeptConnections(prisma, secretKey, id);
    if (row === undefined) throw unknownConnection(id);
    return row;
  }

  /** Returns the id of an account by the rules of leadmirror.yaml. @throws ConfigError, ConnectionError */
  function validate(id: string | null, entry: Mapping, secrets: Readonly<Record<string, string>>): string {
    const { stored, unusable } = load([{ id, entry, secrets }]);
    const [problem] = unusable;
    if (problem?.code === 'connection_clash') {
      throw new ConnectionError(
        'connection_exists',
        `${problem.id} ${problem.message.split(':')[0]}; one id is kept in one of them: remove it there, or give this one another id`,
      );
    }
    if (problem !== undefined) {
      throw new ConfigError([{ variable: `connection ${problem.id}`.trim(), message: problem.message }]);
    }
    return stored[0] ?? '';
  }

  return {
    async list() {
      const rows = await readKeptConnections(prisma, secretKey);
      const config = load(rows.filter((row) => row.erasing_at === null).map((row) => toStoredEntry(row, secretKey)));
      const mirrored = new Set(config.connections.map(({ id }) => id));
      const unusable = new Map(config.unusable.map((one) => [one.id, one]));
      return rows.map((row) => describeRow(row, { isMirrored: mirrored.has(row.id), problem: unusable.get(row.id) }));
    },

    /** Adds an account by the keys of leadmirror.yaml; returns its id. @throws ConfigError, ConnectionError */
    async add(given: Mapping): Promise<string> {
      const key = await requireKey();
      const { id: wanted, ...rest } = merge({}, given);
      const { entry, secrets } = split(rest);
      const id = validate(typeof wanted === 'string' ? wanted : null, entry, secrets);
      if (
        await writeKeptConnection(prisma, { id, entry, secret: seal(entry, secrets), secretKey: key, before: null })
      ) {
        return id;
      }
      throw new ConnectionError('connection_exists', `${id} is there already; change it with \`connection edit\``);
    },

    /** Changes some keys of an account; null removes one. @throws ConfigError, ConnectionError */
    async edit(id: string, changes: Mapping): Promise<void> {
      const key = await requireKey();
      const row = await read(id);
      if (row.erasing_at !== null) throw new ConnectionError('connection_busy', `${id} ${ERASING}`);
      const before = row.entry as Mapping;
      for (const fixed of ['id', 'source']) {
        if (fixed in changes && changes[fixed] !== { ...before, id }[fixed]) {
          const message = `cannot be changed; remove ${id}, and add another account`;
          throw new ConfigError([{ variable: fixed, message }]);
        }
      }
      const { id: _, ...wanted } = changes;
      const known = (row.opened ?? { secrets: {}, addresses: {} }) as SealedAccount;
      const { entry, secrets } = split(merge({ ...before, ...known.secrets }, wanted));
      refuseStaleSecrets(id, { entry, secrets, known, changes });
      validate(id, entry, secrets);
      const isRevived = wanted.enabled !== undefined && wanted.enabled !== false && wanted.enabled !== 'false';
      const change = { id, entry, secret: seal(entry, secrets), secretKey: key, before: row.version, isRevived };
      if (await writeKeptConnection(prisma, change)) return;
      throw new ConnectionError(
        'connection_changed',
        `${id} was changed by another at the same time; look at it again`,
      );
    },

    /** Ends the mirroring of an account; returns the streams whose rows and runs stay. @throws ConnectionError */
    async remove(id: string): Promise<string[]> {
      if ((await read(id)).erasing_at !== null) throw new ConnectionError('connection_busy', `${id} ${ERASING}`);
      if (!(await removeKeptConnection(prisma, id))) throw unknownConnection(id);
      const streams = await listStreams(prisma, 'all');
      return streams.flatMap(({ connectionId, stream }) => (connectionId === id ? [stream] : []));
    },
    /**
     * Erases everything of an account, also of a removed one; goes on where it was stopped. Returns rows by table.
     * @throws ConnectionError: `connection_busy` while another process still has the account
     */
    async erase(
      id: string,
      { signal, clock = systemClock }: { signal: AbortSignal; clock?: Clock },
    ): Promise<ErasedRows> {
      const { unusable } = load([{ id, entry: {}, secrets: {} }]);
      if (unusable.some(({ code }) => code === 'connection_clash')) {
        throw new ConnectionError(
          'connection_clash',
          `${id} is configured, and would be mirrored again: remove it there first`,
        );
      }
      if (!(await beginErasure(prisma, id))) throw unknownConnection(id);
      const before = await eraseRows(prisma, id, signal);
      // Runs are ended and none begins; but the scheduler that leads would list the streams again.
      const until = clock.now() + GIVEN_UP_MS;
      while ((await readConnectionsElsewhere(prisma)).has(id)) {
        if (clock.now() > until)
          throw new ConnectionError('connection_busy', `The rows of ${id} are erased. ${STILL_KNOWN}`);
        await clock.sleep(NOTICED_MS, signal);
      }
      const after = await eraseRows(prisma, id, signal);
      await endErasure(prisma, id);
      return sumOf(before, after);
    },
  };
}

const NOTICED_MS = 1_000;
/** Processes notice within ten seconds, and report it within ten more. */
const GIVEN_UP_MS = 120_000;

const STILL_KNOWN =
  'Another process still has it in its configuration, so it is not finished: remove it from its leadmirror.yaml, or stop it, and repeat the command';

function sumOf(...parts: readonly ErasedRows[]): ErasedRows {
  const sum: ErasedRows = {};
  for (const [table, count] of parts.flatMap((part) => Object.entries(part))) sum[table] = (sum[table] ?? 0) + count;
  return sum;
}

const NO_KEY =
  'is not set; what is secret of an account is kept in the database only encrypted. Make one with: openssl rand -hex 32, and give it to every process';

const ERASING = 'is being erased: `leadmirror connection remove <id> --erase` goes on with it';

const unknownConnection = (id: string): ConnectionError =>
  new ConnectionError(
    'connection_unknown',
    `the database keeps no account ${id}; \`leadmirror connection list\` shows those that it keeps. What leadmirror.yaml or the environment has is changed there`,
  );

const seal = (entry: Mapping, secrets: Readonly<Record<string, string>>): SealedAccount => ({
  secrets,
  addresses: addressesOf(entry),
});

/** Applies changes: null and '' remove a key, groups are merged. Numbers and switches become text, as in the file. */
function merge(before: Mapping, changes: Mapping): Mapping {
  const merged: Record<string, unknown> = { ...before };
  for (const [key, value] of Object.entries(changes)) {
    const known = merged[key];
    if (value === null || value === '') delete merged[key];
    else if (isMapping(value)) merged[key] = merge(isMapping(known) ? known : {}, value);
    else if (Array.isArray(value)) merged[key] = value.map((each) => asText(each));
    else merged[key] = asText(value);
  }
  return merged;
}

const asText = (value: unknown): unknown =>
  typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;

function split(given: Mapping): { entry: Prisma.InputJsonObject; secrets: Readonly<Record<string, string>> } {
  const hidden = privateKeysOf(given.source);
  const all = Object.entries(given);
  const secrets = all.flatMap(([key, value]) => {
    if (!hidden.includes(key)) return [];
    if (typeof value !== 'string') throw new ConfigError([{ variable: key, message: 'must be a text' }]);
    return [[key, value] as const];
  });
  const entry = Object.fromEntries(all.filter(([key]) => !hidden.includes(key))) as Prisma.InputJsonObject;
  return { entry, secrets: Object.fromEntries(secrets) };
}

interface EditedAccount {
  readonly entry: Mapping;
  readonly secrets: Readonly<Record<string, string>>;
  readonly known: SealedAccount;
  readonly changes: Mapping;
}

/** A secret is sent to no other host than the one that it was entered for. @throws ConfigError */
function refuseStaleSecrets(id: string, { entry, secrets, known, changes }: EditedAccount): void {
  if (isDeepStrictEqual(addressesOf(entry), known.addresses)) return;
  const stale = secretKeysOf(entry.source).filter((key) => key in secrets && !(key in changes));
  if (stale.length === 0) return;
  const message = 'was entered for another address, and is sent to no other: enter it again together with the address';
  throw new ConfigError(stale.map((key) => ({ variable: `connection ${id}: ${key}`, message })));
}

/** An account that the database keeps, without what is encrypted. It can be written as JSON. */
function describeRow(
  { id, entry, opened, created_at, updated_at, erasing_at }: KeptConnection,
  { isMirrored, problem }: { isMirrored: boolean; problem: { code: string; message: string } | undefined },
) {
  const settings = entry as Mapping;
  const usable = isMirrored ? 'mirrored' : 'off';
  return {
    ...{ id, source: settings.source },
    /** `off`: it is switched off. `unusable`: `code` and `reason` explain why this process does not mirror it. */
    state: erasing_at !== null ? 'erasing' : problem === undefined ? usable : 'unusable',
    code: problem?.code ?? null,
    reason: problem?.message ?? null,
    settings,
    /** The names of what is encrypted; null where this process cannot decrypt it. */
    secrets: opened === undefined ? null : Object.keys((opened as SealedAccount).secrets),
    ...{ created_at, updated_at },
  };
}
