import { chmod, chown, cp, lstat, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { findAccount, locationIn, type ServerAccount } from '../../src/store/embedded/location.ts';
import { copyPackage, findNativeDirectory } from '../../src/store/embedded/programs.ts';
import { connectionFailure, IS_ROOT, ordinaryUser, query, type Surroundings, setup } from './embedded-setup.ts';

let all: Surroundings;
let user: ServerAccount | null;
beforeAll(async () => {
  all = await setup();
  user = await ordinaryUser();
  await all.compile();
});
afterEach(() => all.stopAll());
afterAll(() => all.cleanUp());

/** The package as npm leaves it where install scripts are denied: without its symbolic links. */
async function copyWithoutLinks(directory: string): Promise<string> {
  const copy = join(directory, 'package');
  await cp(dirname(await findNativeDirectory()), copy, { recursive: true, verbatimSymlinks: true });
  const lib = join(copy, 'native', 'lib');
  for (const name of await readdir(lib)) {
    if ((await lstat(join(lib, name))).isSymbolicLink()) await rm(join(lib, name));
  }
  return join(copy, 'native');
}

async function ownDirectory(): Promise<string> {
  const path = await all.createDirectory(0o700);
  if (user) await chown(path, user.uid, user.gid);
  return path;
}

test('an ordinary user runs the server as itself, below a directory that is closed to others', async () => {
  const home = join(await ownDirectory(), 'home');
  const child = all.startChild({ home }, user);
  const { url, error } = await child.answer;
  expect(error).toBeUndefined();
  expect((await stat(locationIn(home).dataDirectory)).uid).toBe(user?.uid ?? process.getuid?.());
  await child.close();
  expect(await connectionFailure(url)).toBe('ECONNREFUSED');
});

test('the links of a package whose install script was denied are made at the first start', async () => {
  const home = await all.createUsedHome();
  const nativeDirectory = await copyWithoutLinks(dirname(home));
  const { url } = await all.start({ home, nativeDirectory });
  expect(await connectionFailure(url)).toBeNull();
  expect(await readdir(home)).toEqual(['postgres']);
});

test('programs whose files are closed are copied open, and the originals stay as they are', async () => {
  const directory = await all.createDirectory();
  const native = join(directory, 'from', 'native');
  const files = ['bin/initdb', 'bin/pg_ctl', 'bin/postgres', 'share/text'];
  for (const file of files) {
    await mkdir(dirname(join(native, file)), { recursive: true, mode: 0o700 });
    await writeFile(join(native, file), 'x', { mode: 0o600 });
  }
  await copyPackage(native, join(directory, 'to'), new AbortController().signal);
  const modesIn = (root: string, names: readonly string[]) =>
    Promise.all(names.map(async (name) => (await stat(join(directory, root, 'native', name))).mode & 0o777));
  expect(await modesIn('from', files)).toEqual([0o600, 0o600, 0o600, 0o600]);
  expect(await modesIn('to', [...files, 'bin', 'share'])).toEqual([0o755, 0o755, 0o755, 0o644, 0o755, 0o755]);
});

/** Only root can be in these situations, and only root can stage them. */
const asRoot = (name: string, cases: () => void): void => {
  if (IS_ROOT) describe(name, cases);
};
asRoot('root', () => {
  test('runs the server as an account that is not root, in a reachable home', async () => {
    const home = await all.createUsedHome();
    const { url } = await all.start({ home });
    expect((await stat(locationIn(home).dataDirectory)).uid).not.toBe(0);
    expect(await query(url, "select current_setting('data_directory') as path")).toEqual([
      { path: locationIn(home).dataDirectory },
    ]);
  });

  test('with home and programs below a closed directory, keeps both where the account may go, and says so', async () => {
    const closed = await all.createDirectory(0o700);
    const home = join(closed, 'home');
    const options = {
      home,
      nativeDirectory: await copyWithoutLinks(closed),
      systemDirectory: join(await all.createDirectory(), 'system'),
    };
    const [one, other] = [all.startChild(options), all.startChild(options)];
    const answers = await Promise.all([one.answer, other.answer]);
    expect(answers.map(({ error }) => error)).toEqual([undefined, undefined]);
    const [{ url, psql }] = answers;
    await query(url, 'create table kept as select 42 as answer');
    const [name = ''] = await readdir(options.systemDirectory);
    const directory = join(options.systemDirectory, name);
    expect(await readdir(home)).toEqual([]);
    expect(psql).toContain(locationIn(directory).passwordFile);
    expect(one.log()).toContain(`"directory":"${locationIn(directory).directory}"`);
    expect(one.log()).toContain('outside of LEADMIRROR_HOME');
    expect((await readdir(directory)).map((name) => name.replace(/-\w+$/, '')).sort()).toEqual([
      'postgres',
      'postgres-programs',
    ]);
    expect((await stat(closed)).mode & 0o777).toBe(0o700);
    await Promise.all([one.close(), other.close()]);
    expect(await connectionFailure(url)).toBe('ECONNREFUSED');

    // Where the data are stays so when the way to the home is opened, or a link of an early version is there.
    await chmod(closed, 0o755);
    await symlink(locationIn(directory).directory, locationIn(home).directory);
    const next = await all.start(options);
    expect(next.url).toBe(url);
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  test('a package that lacks its links and belongs to root is copied next to the data of an ordinary user', async () => {
    const nativeDirectory = await copyWithoutLinks(await all.createDirectory());
    const home = join(await ownDirectory(), 'home');
    const child = all.startChild({ home, nativeDirectory }, user);
    const { url, error } = await child.answer;
    expect(error).toBeUndefined();
    expect(await query(url, 'select 42 as answer')).toEqual([{ answer: 42 }]);
    expect((await readdir(home)).map((name) => name.replace(/-\w+$/, '')).sort()).toEqual([
      'postgres',
      'postgres-programs',
    ]);
    await child.close();
  });

  test('an ordinary user is told whose data it is when it may not use them', async () => {
    const home = await all.createUsedHome();
    const { error } = await all.startChild({ home }, user).answer;
    expect(error).toMatchObject({ name: 'DatabaseError', code: 'database_refused' });
    expect(error?.message).toContain(`belongs to the user with id ${(await stat(locationIn(home).directory)).uid}`);
  });

  test('is told when existing data went out of reach', async () => {
    const home = await all.createUsedHome();
    const parent = dirname(home);
    await chmod(parent, 0o700);
    await expect(all.start({ home })).rejects.toThrow(`may not enter ${home}`);
  });
});

test('the account is postgres, else nobody, never root and never a number that chown refuses', () => {
  const account = { name: 'postgres', uid: 101, gid: 104 };
  const root = 'root:x:0:0:root:/root:/bin/sh';
  const nobody = 'nobody:x:65534:65534:nobody:/:/sbin/nologin';
  const postgres = 'postgres:x:101:104::/var/lib/postgresql:/bin/bash';
  expect(findAccount([root, nobody, postgres].join('\n'))).toEqual(account);
  expect(findAccount([root, nobody].join('\n'))).toEqual({ name: 'nobody', uid: 65_534, gid: 65_534 });
  expect(findAccount([root, 'nobody:*:-2:-2:::', 'postgres:x:0:0:::'].join('\n'))).toBeNull();
});
