import { chmod, chown, cp, lstat, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../src/errors.ts';
import { findAccount, locationIn, type ServerAccount } from '../../src/store/embedded/location.ts';
import { findNativeDirectory } from '../../src/store/embedded/programs.ts';
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

test('a package that lacks its links and cannot be changed is refused, and says how it gets them', async () => {
  const directory = await ownDirectory();
  const nativeDirectory = await copyWithoutLinks(directory);
  await chmod(directory, 0o755);
  await chmod(join(nativeDirectory, 'lib'), 0o555);
  const { error } = await all.startChild({ home: join(directory, 'home'), nativeDirectory }, user).answer;
  expect(error).toMatchObject({ name: 'ConfigError' });
  expect(error?.message).toContain('EACCES');
  expect(error?.message).toContain('npm rebuild');
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

  test('with home or programs below a closed directory is told that, and how to go on', async () => {
    const closed = await all.createDirectory(0o700);
    const open = await all.createDirectory();
    const inside = { home: join(closed, 'home'), nativeDirectory: await copyWithoutLinks(closed) };
    for (const options of [
      { home: inside.home },
      { home: join(open, 'home'), nativeDirectory: inside.nativeDirectory },
    ]) {
      const failure = await all.start(options).catch((error: unknown) => error);
      if (!(failure instanceof ConfigError)) throw failure;
      for (const part of [closed, 'may not', 'chmod o+x', 'LEADMIRROR_HOME', 'as an ordinary user', 'DATABASE_URL']) {
        expect(failure.message).toContain(part);
      }
      expect(await readdir(options.home)).toEqual([]);
    }
    expect((await stat(closed)).mode & 0o777).toBe(0o700);
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
