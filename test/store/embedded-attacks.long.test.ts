import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { DatabaseError } from '../../src/errors.ts';
import { removeBase } from '../../src/store/embedded/initialize.ts';
import { locationIn } from '../../src/store/embedded/location.ts';
import { findProblem, privateFolder } from '../../src/store/embedded/private-files.ts';
import { IS_ROOT, query, type Surroundings, setup } from './embedded-setup.ts';

let all: Surroundings;
let victim: string;
const SECRET = '*:*:*:leadmirror:text of somebody else\n';
beforeAll(async () => {
  all = await setup();
});
afterEach(() => all.stopAll());
afterAll(() => all.cleanUp());

/** A file of the user who runs leadmirror: root where that is who runs the tests. */
async function createVictim(): Promise<void> {
  victim = join(await all.createDirectory(), 'victim');
  await writeFile(victim, SECRET, { mode: 0o600 });
}

async function expectUntouched(): Promise<void> {
  const { uid, mode } = await stat(victim);
  expect([uid, mode & 0o7777, await readFile(victim, 'utf8')]).toEqual([process.getuid?.(), 0o600, SECRET]);
}

/** Refused, not waited for: a pipe that nobody writes into would hold a reader for ever. */
async function refusalOf(home: string): Promise<string> {
  const error = await all.start({ home, timeoutMs: 20_000 }).then(
    () => null,
    (failure: unknown) => failure,
  );
  if (!(error instanceof DatabaseError)) throw error ?? new Error('it was not refused');
  expect(error.code).toBe('database_refused');
  expect(error.message).not.toContain(SECRET.trim());
  return error.message;
}

const INSTEAD: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'a link to the file of another': (path) => symlink(victim, path),
  'a link to nothing': (path) => symlink(`${victim}-not-there`, path),
  'a second name of the file of another': (path) => link(victim, path),
  'a pipe': async (path) => execFileSync('mkfifo', [path]),
  'a folder': (path) => mkdir(path),
  'a link to a device': (path) => symlink('/dev/zero', path),
};

describe.each(['server.log', 'pgpass', 'data/PG_VERSION', 'data/postmaster.pid'])('%s', (name) => {
  test.each(Object.entries(INSTEAD))('being %s is refused, and nothing happens to that file', async (_, put) => {
    await createVictim();
    const home = await all.createUsedHome();
    const path = join(locationIn(home).directory, name);
    await rm(path, { force: true });
    await put(path);
    expect(await refusalOf(home)).toContain(path);
    await rm(path, { recursive: true });
    await expectUntouched();
    await expect(lstat(`${victim}-not-there`)).rejects.toThrow('ENOENT');
  });
});

test.each(['file', 'folder'])('a link to a %s in the place of the folder is refused', async (kind) => {
  await createVictim();
  const home = await all.createDirectory();
  await symlink(kind === 'file' ? victim : dirname(victim), locationIn(home).directory);
  expect(await refusalOf(home)).toContain(`${locationIn(home).directory} is a link`);
  expect(await readdir(dirname(victim))).toEqual(['victim']);
  await expectUntouched();
});

test('a log that is too long is put aside under a link of that name, not through it', async () => {
  await createVictim();
  const home = await all.createUsedHome();
  const { logFile } = locationIn(home);
  await writeFile(logFile, Buffer.alloc(11 * 1024 * 1024));
  await symlink(victim, `${logFile}.1`);
  await all.start({ home });
  expect((await lstat(`${logFile}.1`)).isFile()).toBe(true);
  await expectUntouched();
});

test('nobody else may write where leadmirror writes, and the data alone belong to the server’s account', async () => {
  const home = await all.createUsedHome();
  const { base, directory, dataDirectory, logFile, passwordFile } = locationIn(home);
  await all.start({ home });
  for (const path of [base, directory, logFile, passwordFile]) {
    const { uid, mode } = await lstat(path);
    expect([path, uid, mode & 0o022]).toEqual([path, process.getuid?.(), 0]);
  }
  const { uid, mode } = await lstat(dataDirectory);
  expect([uid === process.getuid?.(), mode & 0o777]).toEqual([!IS_ROOT, 0o700]);
  expect((await readdir(directory)).sort()).toEqual(['data', 'pgpass', 'server.log']);
});

describe('what a folder on the way has to be', () => {
  const [way, last] = [
    { isLink: false, isLast: false },
    { isLink: false, isLast: true },
  ];
  const aLink = { isLink: true, isLast: false };
  const folder = (uid: number, mode: number, gid = 100) => ({ uid, gid, mode });
  test.each([
    ['root, its own folder', 0, folder(0, 0o755), last, null],
    ['root, a folder of another', 0, folder(7, 0o755), last, 'foreign'],
    ['root, below a folder of another', 0, folder(7, 0o755), way, 'foreign'],
    ['root, through a link of another', 0, folder(7, 0o777), aLink, 'foreign'],
    ['root, through a link of its own', 0, folder(0, 0o777), aLink, null],
    ['root, in a folder that all may write', 0, folder(0, 0o777), way, 'shared'],
    ['root, in a folder that a group may write', 0, folder(0, 0o775), way, 'shared'],
    ['root, in a folder that its own group may write', 0, folder(0, 0o775, 0), way, null],
    ['root, below /tmp', 0, folder(0, 0o1777), way, null],
    ['root, /tmp itself', 0, folder(0, 0o1777), last, 'shared'],
    ['a user, its own folder', 5, folder(5, 0o700), last, null],
    ['a user, a volume of root that all may write', 5, folder(0, 0o777), last, null],
    ['a user, a folder of another', 5, folder(7, 0o777), last, 'foreign'],
    ['a user, its own folder below one of another', 5, folder(7, 0o755), way, null],
    ['a user, through a link of another', 5, folder(7, 0o777), aLink, 'foreign'],
  ])('%s', (_, uid, stats, where, problem) => {
    expect(findProblem(stats, { uid, ...where })).toBe(problem);
  });

  test('a link of our own is followed, one without end is refused', async () => {
    const directory = await all.createDirectory();
    await mkdir(join(directory, 'real'));
    await symlink('real', join(directory, 'link'));
    await symlink('round', join(directory, 'round'));
    expect(await privateFolder(join(directory, 'link', 'new'))).toBe(join(directory, 'real', 'new'));
    await expect(privateFolder(join(directory, 'round', 'new'))).rejects.toThrow('ELOOP');
  });
});

/** Only root has another account to attack as. What the others need of it is in the tests above. */
const asRoot = (name: string, cases: () => void): void => {
  if (IS_ROOT) describe(name, cases);
};
asRoot('as the account of the server', () => {
  let home: string;
  let account: { uid: number; gid: number };
  beforeAll(async () => {
    home = await all.createUsedHome();
    account = await stat(locationIn(home).dataDirectory);
  });

  const run = (file: string, ...args: string[]): number | null =>
    spawnSync(file, args, { uid: account.uid, gid: account.gid }).status;

  test('nothing can be put into the place of the log, the password, the data or their folder', async () => {
    await createVictim();
    const { directory, dataDirectory, logFile, passwordFile } = locationIn(home);
    for (const path of [logFile, passwordFile, dataDirectory, directory]) {
      expect(run('mv', path, `${path}-away`)).not.toBe(0);
      expect(run('ln', '-sfT', victim, path)).not.toBe(0);
      expect((await lstat(path)).isSymbolicLink()).toBe(false);
    }
    expect(run('ln', '-s', victim, join(directory, 'server.log.1'))).not.toBe(0);
    expect(run('mkdir', join(home, 'postgres-new-1'))).not.toBe(0);
    expect(run('cat', passwordFile)).not.toBe(0);
    await expectUntouched();
  });

  test.each(['PG_VERSION', 'postmaster.pid', 'postmaster.opts'])('a link as %s leads nowhere', async (name) => {
    await createVictim();
    const path = join(locationIn(home).dataDirectory, name);
    expect(run('ln', '-sf', victim, path)).toBe(0);
    // The last one is the server's own to refuse.
    expect(await refusalOf(home)).toContain(name);
    await expectUntouched();
    home = await all.createUsedHome();
  });

  test.each(['server.log', 'pgpass', 'data/PG_VERSION'])('%s of a third account is refused', async (name) => {
    const used = await all.createUsedHome();
    const path = join(locationIn(used).directory, name);
    await writeFile(path, SECRET, { flag: 'a' });
    await chown(path, account.uid + 1, account.gid);
    expect(await refusalOf(used)).toContain(`${path} belongs to the user with id ${account.uid + 1}`);
  });

  test('a lock file that is out of date is removed as that account', async () => {
    const { dataDirectory } = locationIn(home);
    const path = join(dataDirectory, 'postmaster.pid');
    // Our own process id: it runs, and is no server.
    await writeFile(path, `${process.pid}\n${dataDirectory}\n`);
    await chown(path, account.uid, account.gid);
    const { url } = await all.start({ home });
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect((await readdir(dataDirectory)).filter((name) => name.startsWith('postmaster.pid.'))).toEqual([]);
  });

  test('a home, a folder above it, the folder of the files, or a link on the way that is not root’s is refused', async () => {
    const directory = await all.createDirectory();
    const theirs = join(directory, 'theirs');
    await mkdir(theirs);
    await chown(theirs, account.uid, account.gid);
    await symlink(await all.createDirectory(), join(directory, 'link'));
    await lchown(join(directory, 'link'), account.uid, account.gid);
    for (const path of [theirs, join(theirs, 'home'), join(directory, 'link'), join(directory, 'link', 'home')]) {
      const message = await refusalOf(path);
      expect(message).toContain(`belongs to the user with id ${account.uid}`);
      expect(message).toContain('LEADMIRROR_HOME');
    }
    expect(await readdir(theirs)).toEqual([]);
    const used = await all.createUsedHome();
    await chown(locationIn(used).directory, account.uid, account.gid);
    expect(await refusalOf(used)).toContain(locationIn(used).directory);
  });

  test('a folder that others may write is refused, with the command that closes it', async () => {
    const used = await all.createUsedHome();
    await chmod(used, 0o777);
    expect(await refusalOf(used)).toContain(`chmod go-w ${used}`);
    await chmod(used, 0o755);
    await chmod(dirname(used), 0o777);
    expect(await refusalOf(used)).toContain(`chmod go-w ${dirname(used)}`);
    // One that is meant for everybody is not to be closed.
    await chmod(dirname(used), 0o1777);
    expect(await refusalOf(dirname(used))).toContain('Make a folder below it');
    await (await all.start({ home: used })).close();
  });

  test('a link in the place of the data leads nowhere', async () => {
    const theirs = await all.createDirectory();
    await chown(theirs, account.uid, account.gid);
    const directory = await all.createDirectory();
    await symlink(join(theirs, 'new', 'postgres'), locationIn(directory).directory);
    expect(await refusalOf(directory)).toContain(locationIn(directory).directory);
    expect(await readdir(theirs)).toEqual([]);
  });

  test('data are removed as that account, so that a link among them leads nowhere', async () => {
    const used = await all.createUsedHome();
    const { dataDirectory } = locationIn(used);
    // What the account may not remove stands for what a link would lead to.
    const protectedFolder = join(dataDirectory, 'base', 'of-root');
    await mkdir(protectedFolder);
    await writeFile(join(protectedFolder, 'file'), '');
    await removeBase(used);
    expect(await readdir(protectedFolder)).toEqual(['file']);
    await rename(protectedFolder, join(used, 'moved'));
    await removeBase(used);
    await expect(lstat(used)).rejects.toThrow('ENOENT');
  });
});
