import type { Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError, DatabaseError } from '../../errors.ts';

/**
 * Postgres refuses to run as root. A leadmirror that runs as root therefore runs the server as another, existing
 * account; users are never created. Other users run the server as themselves, which is `null` here.
 */
export interface ServerAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** In order of preference. `_postgres` is the name that macOS gives it. */
const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/** Picks the account out of the text of `/etc/passwd`; null when it has none that can be used. */
export function findAccount(passwd: string): ServerAccount | null {
  const accounts = passwd.split('\n').map((line) => {
    const [name = '', , uid, gid] = line.split(':');
    return { name, uid: Number(uid), gid: Number(gid) };
  });
  // On macOS the user id may be -2, which chown does not take.
  const usable = accounts.filter(
    ({ uid, gid }) => Number.isInteger(uid) && uid > 0 && Number.isInteger(gid) && gid > 0,
  );
  for (const candidate of CANDIDATES) {
    const account = usable.find(({ name }) => name === candidate);
    if (account) return account;
  }
  return null;
}

/** Chooses who runs the server. Existing data decide: Postgres runs only as the owner of its data directory. */
export async function chooseAccount(dataDirectory: string | null): Promise<ServerAccount | null> {
  const ownUid = process.getuid?.();
  if (ownUid === undefined) return null;
  const owner = dataDirectory === null ? null : await stat(dataDirectory);
  if (ownUid !== 0) {
    if (dataDirectory === null || owner?.uid === ownUid) return null;
    // Of a server that root started, the data alone belong to another account.
    const { uid } = await stat(dirname(dataDirectory));
    throw foreignData(dataDirectory, uid === ownUid ? (owner?.uid ?? null) : uid, ownUid);
  }
  if (owner && owner.uid !== 0) return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  const account = findAccount(await readFile('/etc/passwd', 'utf8').catch(() => ''));
  if (account) return account;
  const message =
    'is not set, and the built-in Postgres cannot run as root here: this system has neither a user "postgres" nor ' +
    '"nobody" to run it as. Start leadmirror as an ordinary user, or set DATABASE_URL to a Postgres server.';
  throw new ConfigError([{ variable: 'DATABASE_URL', message }]);
}

export function foreignData(directory: string, ownerUid: number | null, ownUid: number | undefined): DatabaseError {
  const owner = ownerUid === null ? 'another user' : `the user with id ${ownerUid}`;
  return new DatabaseError(
    'database_refused',
    `The built-in Postgres in ${directory} belongs to ${owner}, and leadmirror runs as the user with id ${ownUid}. ` +
      'Run it as that user, or give this one its own LEADMIRROR_HOME.',
  );
}

export type Permissions = Pick<Stats, 'mode' | 'uid' | 'gid'>;

/** Whether these permissions give the account all the asked bits (4 read, 2 write, 1 execute or traverse). */
export function permits(account: ServerAccount, { mode, uid, gid }: Permissions, bits: number): boolean {
  // Like the kernel: the first class that fits decides alone, also when a later one would give more.
  const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0;
  return ((mode >> shift) & bits) === bits;
}

/**
 * The outermost directory on the way to `path` (itself included) that the account may not traverse; null when the way
 * is free. `path` is absolute, without symbolic links, and exists.
 */
export async function findBarrier(path: string, account: ServerAccount): Promise<string | null> {
  const parent = dirname(path);
  const above = parent === path ? null : await findBarrier(parent, account);
  if (above !== null) return above;
  return permits(account, await stat(path), 1) ? null : path;
}
