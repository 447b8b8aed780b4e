import { createHash } from 'node:crypto';
import { chmod, lstat, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DatabaseError } from '../../errors.ts';
import { privateFolder } from './private-files.ts';
import { runProgram } from './run-program.ts';

/**
 * Where the built-in Postgres keeps its files:
 *
 *     <base>/postgres/data/          the data directory
 *     <base>/postgres/pgpass         the password, in libpq's password file format, mode 0600
 *     <base>/postgres/server.log     the server's log
 *     <base>/postgres-programs-.../  a copy of the programs, only where the installed ones cannot be used
 *
 * All of it belongs to the user who runs leadmirror; only the data directory belongs to the server's account. So root
 * never writes where that account may put a link, and reads there nothing but its files.
 *
 * The base is LEADMIRROR_HOME, or a directory of the system for root whose home lies below a directory that the
 * server's account may not enter, /root above all. To open such a directory is for the operator.
 */
export type DataLocation = ReturnType<typeof locationIn>;

/** Where root keeps what cannot live in its home. */
export const SYSTEM_DIRECTORY = '/var/lib/leadmirror';

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

export interface SearchOptions {
  readonly signal?: AbortSignal;
  readonly systemDirectory?: string;
}

/** Returns the files of this home, and who runs the server. Creates the base, never the data. */
export async function findLocation(
  home: string,
  { signal = new AbortController().signal, systemDirectory = SYSTEM_DIRECTORY }: SearchOptions = {},
) {
  const base = await privateFolder(home);
  const name = createHash('sha256').update(base).digest('hex').slice(0, 12);
  const elsewhere = locationIn(join(systemDirectory, name));
  const inHome = { location: locationIn(base), isOutsideHome: false };
  const ownUid = process.getuid?.();
  const data = await findData(inHome.location, elsewhere);
  if (ownUid === undefined || data?.uid === ownUid) return { ...inHome, account: null };
  if (ownUid !== 0) {
    if (data === null) return { ...inHome, account: null };
    throw foreignData(inHome.location, data.ownerUid, ownUid);
  }
  const mayEnter = async (directory: string, account: ServerAccount): Promise<boolean> =>
    (await runProgram('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], { account, cwd: '/', signal })).status === 0;
  if (data !== null) {
    // Existing data decide: Postgres runs only as the owner of its data directory.
    const account = accountOf(data);
    if (await mayEnter(base, account)) return { ...inHome, account };
    throw unreachable(base, account);
  }
  const dataElsewhere = await lstatOrNull(elsewhere.dataDirectory);
  const account = dataElsewhere === null ? await chooseAccount() : accountOf(dataElsewhere);
  if (dataElsewhere === null && (await mayEnter(base, account))) return { ...inHome, account };
  await privateFolder(elsewhere.base);
  // Whatever our umask.
  for (const directory of [systemDirectory, elsewhere.base]) await chmod(directory, 0o755);
  if (await mayEnter(elsewhere.base, account)) return { location: elsewhere, isOutsideHome: true, account };
  throw unreachable(elsewhere.base, account);
}

/** Returns the owner of the data, and that of their folder; null where there are none. */
async function findData({ directory, dataDirectory }: DataLocation, elsewhere: DataLocation) {
  const found = await lstatOrNull(directory);
  if (found?.isSymbolicLink()) {
    // Early versions linked what they kept there.
    if ((await readlink(directory)) === elsewhere.directory) return null;
    const remedy = 'Remove it, and set LEADMIRROR_HOME to the folder in which the folder is that it leads to.';
    throw new DatabaseError(
      'database_refused',
      `${directory} is a link, which could lead to files of others. ${remedy}`,
    );
  }
  if (found === null) return null;
  await privateFolder(directory);
  const data = await lstatOrNull(dataDirectory);
  // Of a server that root started, the data alone belong to another account.
  return data && { uid: data.uid, gid: data.gid, ownerUid: found.uid === process.getuid?.() ? data.uid : found.uid };
}

function foreignData({ directory }: DataLocation, ownerUid: number, ownUid: number): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `The built-in Postgres in ${directory} belongs to the user with id ${ownerUid}, and leadmirror runs as the user with ` +
      `id ${ownUid}. Run it as that user, or give this one its own LEADMIRROR_HOME.`,
  );
}

function unreachable(directory: string, { name }: ServerAccount): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `Postgres does not run as root, and the user it runs as here (${name}) may not enter ${directory}. Let it enter each ` +
      'folder on the way (chmod o+x), set LEADMIRROR_HOME to a folder that it may enter, start leadmirror as an ' +
      'ordinary user, or set DATABASE_URL to a Postgres server.',
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
