import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DatabaseError } from '../../errors.ts';
import { privateFolder } from './private-files.ts';

/**
 * Where the built-in Postgres keeps its files:
 *
 *     <base>/postgres/data/          the data directory
 *     <base>/postgres/pgpass         the password, in libpq's password file format, mode 0600
 *     <base>/postgres/server.log     the server's log
 *
 * The base is LEADMIRROR_HOME. All of it belongs to the user who runs leadmirror; only the data directory belongs to
 * the server's account. So root never writes where that account may put a link, and reads there nothing but its files.
 */
export type DataLocation = ReturnType<typeof locationIn>;

export function locationIn(base: string) {
  const directory = join(base, 'postgres');
  return {
    base,
    directory,
    dataDirectory: join(directory, 'data'),
    passwordFile: join(directory, 'pgpass'),
    logFile: join(directory, 'server.log'),
  };
}

/**
 * Postgres refuses to run as root. A leadmirror that runs as root therefore runs the server as another, existing
 * account; users are never created. Other users run the server as themselves, which is `null` here.
 */
export type ServerAccount = { readonly name: string; readonly uid: number; readonly gid: number };

/** Returns the files of this home, and who runs the server. Creates the base, never the data. */
export async function findLocation(home: string) {
  const location = locationIn(await privateFolder(home));
  const { directory, dataDirectory } = location;
  const found = await lstatOrNull(directory);
  if (found?.isSymbolicLink()) {
    const remedy = 'Remove it, and set LEADMIRROR_HOME to the folder in which the folder is that it leads to.';
    throw new DatabaseError(
      'database_refused',
      `${directory} is a link, which could lead to files of others. ${remedy}`,
    );
  }
  if (found !== null) await privateFolder(directory);
  const data = found === null ? null : await lstatOrNull(dataDirectory);
  const ownUid = process.getuid?.();
  if (ownUid === undefined || data?.uid === ownUid) return { location, account: null };
  // Existing data decide: Postgres runs only as the owner of its data directory.
  if (ownUid === 0) return { location, account: data === null ? await chooseAccount() : accountOf(data) };
  if (data === null) return { location, account: null };
  // Of a server that root started, the data alone belong to another account.
  const owner = found?.uid === ownUid ? data.uid : found?.uid;
  throw new DatabaseError(
    'database_refused',
    `The built-in Postgres in ${directory} belongs to the user with id ${owner}, and leadmirror runs as the user with id ` +
      `${ownUid}. Run it as that user, or give this one its own LEADMIRROR_HOME.`,
  );
}

const lstatOrNull = (path: string) =>
  lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });

export const accountOf = ({ uid, gid }: Omit<ServerAccount, 'name'>): ServerAccount => ({
  name: `uid ${uid}`,
  uid,
  gid,
});

async function chooseAccount(): Promise<ServerAccount> {
  const account = findAccount(await readFile('/etc/passwd', 'utf8').catch(() => ''));
  if (account) return account;
  const message =
    'is not set, and the built-in Postgres cannot run as root here: this system has neither a user "postgres" nor ' +
    '"nobody" to run it as. Start leadmirror as an ordinary user, or set DATABASE_URL to a Postgres server.';
  throw new ConfigError([{ variable: 'DATABASE_URL', message }]);
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
  const usable = accounts.filter(({ uid, gid }) => uid > 0 && gid > 0);
  return CANDIDATES.flatMap((candidate) => usable.find(({ name }) => name === candidate) ?? [])[0] ?? null;
}
