import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { locationIn } from '../../src/store/embedded/location.ts';
import { parseLockFile } from '../../src/store/embedded/postmaster.ts';
import { preferredPort } from '../../src/store/embedded/server.ts';
import { connectionFailure, endPostmaster, query, readPostmaster, type Surroundings, setup } from './embedded-setup.ts';

let all: Surroundings;
beforeAll(async () => {
  all = await setup();
  await all.compile();
});
afterEach(() => all.stopAll());
afterAll(() => all.cleanUp());

const START_TIME = 'select pg_postmaster_start_time()::text as started';

async function serverOf(home: string): Promise<number> {
  const pid = await readPostmaster(locationIn(home).dataDirectory);
  if (pid === null) throw new Error('no server runs');
  return pid;
}

async function listen(port: number): Promise<() => Promise<void>> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return async () => {
    server.close();
    await once(server, 'close');
  };
}

describe('a server shared by several processes', () => {
  test('two that start at once on an empty home share one; only the last one stops it', async () => {
    const home = join(await all.createDirectory(), 'not yet there');
    const [first, second] = [all.startChild({ home }), all.startChild({ home })];
    const [one, other] = await Promise.all([first.answer, second.answer]);
    expect([one.joined, other.joined].sort()).toEqual([false, true]);
    expect(other.url).toBe(one.url);
    await first.close();
    expect(await connectionFailure(one.url)).toBeNull();
    await second.close();
    expect(await connectionFailure(one.url)).toBe('ECONNREFUSED');
    expect(await readPostmaster(locationIn(home).dataDirectory)).toBeNull();
  });

  test('processes that come and go at the same time never meet a failure', async () => {
    const home = await all.createDirectory();
    const children = [1, 2, 3, 4].map(() => all.startChild({ home, rounds: 4 }));
    const answers = await Promise.all(children.map(({ answer }) => answer));
    expect(answers.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    const started = await Promise.all(answers.map(({ url }) => query(url, START_TIME)));
    expect(new Set(started.map((rows) => JSON.stringify(rows))).size).toBe(1);
    await Promise.all(children.map((child) => child.close()));
    expect(await readPostmaster(locationIn(home).dataDirectory)).toBeNull();
  });

  test('Ctrl-C in one terminal leaves the server to the others', async () => {
    const home = await all.createUsedHome();
    const starter = all.startChild({ home });
    const { url } = await starter.answer;
    const other = await all.start({ home });
    const interrupted = once(starter.process, 'exit');
    // What a terminal does: the signal goes to the whole process group.
    process.kill(-(starter.process.pid ?? 0), 'SIGINT');
    expect(await interrupted).toEqual([null, 'SIGINT']);
    const server = await serverOf(home);
    await query(url, 'select pg_sleep(0.2)');
    expect(await serverOf(home)).toBe(server);
    await other.close();
    expect(await connectionFailure(url)).toBe('ECONNREFUSED');
  });
});

describe('between starts', () => {
  test('data, password and port are kept', async () => {
    const home = await all.createUsedHome();
    const first = await all.start({ home });
    await query(first.url, 'create table kept as select 42 as answer');
    await first.close();
    const second = await all.start({ home });
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    expect([first.joined, second.joined]).toEqual([false, false]);
  });

  test('a port that is taken is replaced by another one, which is then kept', async () => {
    const home = await all.createUsedHome();
    const free = await listen(preferredPort(home));
    const first = await all.start({ home });
    expect(Number(new URL(first.url).port)).not.toBe(preferredPort(home));
    await first.close();
    await free();
    expect((await all.start({ home })).url).toBe(first.url);
  });
});

describe('a new home', () => {
  test('keeps its password in a file for its owner only, and out of the psql line and the log', async () => {
    const home = await all.createDirectory();
    const server = await all.start({ home });
    const { passwordFile, logFile } = locationIn(home);
    expect((await stat(passwordFile)).mode & 0o777).toBe(0o600);
    expect((await stat(logFile)).mode & 0o777).toBe(0o600);
    const { password, port } = new URL(server.url);
    expect(password.length).toBeGreaterThanOrEqual(32);
    expect(await readFile(passwordFile, 'utf8')).toBe(`*:*:*:leadmirror:${password}\n`);
    expect(server.psql).toBe(`PGPASSFILE=${passwordFile} psql -h 127.0.0.1 -p ${port} -U leadmirror leadmirror`);
    await server.close();
    expect(await readFile(logFile, 'utf8')).not.toContain(password);
  });

  test('holds a UTF-8 database in UTC that sorts by code point, listens on loopback only and asks for the password', async () => {
    const home = join(await all.createDirectory(), `it's a "home" $HOME`);
    const { url } = await all.start({ home });
    const [settings] = await query(
      url,
      `select current_setting('server_encoding') as encoding, current_setting('timezone') as timezone,
         current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
         'Z' < 'a' as by_code_point, upper('é') as upper, current_database() as database`,
    );
    expect(settings).toEqual({
      encoding: 'UTF8',
      timezone: 'UTC',
      addresses: '127.0.0.1',
      sockets: '',
      by_code_point: true,
      upper: 'É',
      database: 'leadmirror',
    });
    const wrong = new URL(url);
    wrong.password = 'wrong';
    expect(await connectionFailure(wrong.href)).toBe('28P01');
  });
});

describe('after a crash', () => {
  test('a server that a killed process left behind is joined by the next start, and stopped by it', async () => {
    const home = await all.createUsedHome();
    const killed = all.startChild({ home });
    const { url } = await killed.answer;
    const started = await query(url, START_TIME);
    await killed.kill();
    const next = await all.start({ home });
    expect(next.joined).toBe(true);
    expect(await query(next.url, START_TIME)).toEqual(started);
    await next.close();
    expect(await connectionFailure(url)).toBe('ECONNREFUSED');
  });

  test('a killed server is started again by those who use it, with what was committed', async () => {
    const home = await all.createUsedHome();
    const child = all.startChild({ home });
    const { url } = await child.answer;
    const other = await all.start({ home });
    await query(url, 'create table kept as select 42 as answer');
    const before = await serverOf(home);
    await endPostmaster(before, 'SIGKILL');
    let failure = await connectionFailure(url);
    while (failure !== null) failure = await connectionFailure(url);
    expect(await serverOf(home)).not.toBe(before);
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    // Both are there again: the first to leave does not stop it.
    const present = "select 1 from pg_locks where locktype = 'advisory' and mode = 'ShareLock'";
    while ((await query(url, present)).length < 2);
    await child.close();
    expect(await connectionFailure(url)).toBeNull();
    await other.close();
    expect(await connectionFailure(url)).toBe('ECONNREFUSED');
  });

  test('when everything was killed, the next start recovers', async () => {
    const home = await all.createUsedHome();
    const child = all.startChild({ home });
    const { url } = await child.answer;
    await query(url, 'create table kept as select 42 as answer');
    await Promise.all([child.kill(), endPostmaster(await serverOf(home), 'SIGKILL')]);
    const next = await all.start({ home });
    expect([next.joined, next.url]).toEqual([false, url]);
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  const onLinux = (name: string, body: () => Promise<void>): void => {
    if (process.platform === 'linux') test(name, body);
  };
  onLinux(
    'a lock file whose process id now belongs to another program does not keep the server from starting',
    async () => {
      const home = await all.createUsedHome();
      const first = await all.start({ home });
      const lockFile = join(locationIn(home).dataDirectory, 'postmaster.pid');
      const text = await readFile(lockFile, 'utf8');
      await first.close();
      await writeFile(lockFile, text.replace(/^\d+/, String(process.pid)));
      const next = await all.start({ home });
      expect([next.joined, next.url]).toEqual([false, first.url]);
      expect(await serverOf(home)).not.toBe(process.pid);
    },
  );
});

test('a lock file is read whole, half written, or not at all', () => {
  const lines = ['123', '/home/postgres/data', '1700000000', '15432', '', '127.0.0.1', '  1234  0', 'ready   ', ''];
  const whole = { pid: 123, dataDirectory: '/home/postgres/data', port: 15_432, isReady: true };
  expect(parseLockFile(lines.join('\n'))).toEqual(whole);
  expect(parseLockFile(lines.slice(0, 2).join('\n'))).toEqual({ ...whole, port: null, isReady: false });
  expect(parseLockFile(lines.join('\n').replace('ready', 'starting'))).toEqual({ ...whole, isReady: false });
  expect(parseLockFile('')).toBeNull();
});
