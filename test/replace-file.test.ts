import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { transform } from '@swc/core';
import { replaceFile } from '../src/replace-file.ts';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leadmirror-replace-'));
  file = join(folder, 'file');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: NodeJS.ErrnoException) => error.code,
  );

async function inode(path: string): Promise<number> {
  return (await stat(path)).ino;
}

test('a new file is made, a file that is there is replaced, and whoever has it open keeps it', async () => {
  await replaceFile(file, 'old');
  const reader = await open(file);
  await replaceFile(file, 'new');
  expect(await reader.readFile('utf8')).toBe('old');
  await reader.close();
  expect(await readFile(file, 'utf8')).toBe('new');
  expect(await readdir(folder)).toEqual(['file']);
});

test('permissions stay, but for a private file, which only its owner may read', async () => {
  await writeFile(file, 'old');
  for (const mode of [0o640, 0o604, 0o755]) {
    await chmod(file, mode);
    await replaceFile(file, 'new');
    expect((await stat(file)).mode & 0o777).toBe(mode);
  }
  await replaceFile(file, 'new', { isPrivate: true });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await replaceFile(join(folder, 'private'), 'new', { isPrivate: true });
  expect((await stat(join(folder, 'private'))).mode & 0o777).toBe(0o600);
});

test('a link stays, and its end gets the text: over several links, to nothing yet, relative ones', async () => {
  await mkdir(join(folder, 'far'));
  await writeFile(join(folder, 'far', 'end'), 'old');
  await symlink(join('far', 'end'), join(folder, 'second'));
  await symlink('second', file);
  await replaceFile(file, 'new');
  expect(await readlink(file)).toBe('second');
  expect(await readFile(join(folder, 'far', 'end'), 'utf8')).toBe('new');

  await symlink(join('far', 'not yet'), join(folder, 'dangling'));
  await replaceFile(join(folder, 'dangling'), 'new');
  expect(await readlink(join(folder, 'dangling'))).toBe(join('far', 'not yet'));
  expect(await readFile(join(folder, 'far', 'not yet'), 'utf8')).toBe('new');
  expect((await readdir(join(folder, 'far'))).sort()).toEqual(['end', 'not yet']);

  await symlink('round', join(folder, 'round'));
  expect(await codeOf(replaceFile(join(folder, 'round'), 'new'))).toBe('ELOOP');
});

test('the other names of a file get the text, too', async () => {
  await writeFile(file, 'a longer old text');
  await link(file, join(folder, 'other'));
  await replaceFile(file, 'new');
  expect(await readFile(join(folder, 'other'), 'utf8')).toBe('new');
  expect(await inode(file)).toBe(await inode(join(folder, 'other')));
});

test.each(['/dev/null', 'link to it'])('a device is written into and stays one: %s', async (name) => {
  if (name !== '/dev/null') await symlink('/dev/null', file);
  await replaceFile(name === '/dev/null' ? name : file, 'text');
  expect((await lstat('/dev/null')).isCharacterDevice()).toBe(true);
  expect(await readdir(folder)).toEqual(name === '/dev/null' ? [] : ['file']);
});

test('a full device says so', async () => {
  expect(await codeOf(replaceFile('/dev/full', 'text'))).toBe('ENOSPC');
});

test('a pipe is written into while somebody reads, and refused when nobody does', async () => {
  execFileSync('mkfifo', [file]);
  expect(await codeOf(replaceFile(file, 'text'))).toBe('ENXIO');
  const text = 'text'.repeat(100_000);
  const reader = spawn('cat', [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let received = '';
  reader.stdout.setEncoding('utf8').on('data', (part: string) => {
    received += part;
  });
  const closed = once(reader, 'close');
  // Until the reader is there.
  while ((await codeOf(replaceFile(file, text))) === 'ENXIO') await new Promise(setImmediate);
  await closed;
  expect(received).toBe(text);
  expect((await lstat(file)).isFIFO()).toBe(true);
});

test('a socket and a folder are refused, and a folder that is not there', async () => {
  const server = createServer().listen(file);
  await once(server, 'listening');
  expect(await codeOf(replaceFile(file, 'text'))).toBe('ENXIO');
  expect((await lstat(file)).isSocket()).toBe(true);
  server.close();
  expect(await codeOf(replaceFile(folder, 'text'))).toBe('EISDIR');
  expect(await codeOf(replaceFile(join(folder, 'not there', 'file'), 'text'))).toBe('ENOENT');
  await rm(file, { force: true });
  expect(await readdir(folder)).toEqual([]);
});

test('a name as long as names may be', async () => {
  const path = join(folder, 'n'.repeat(255));
  await replaceFile(path, 'old');
  await replaceFile(path, 'new');
  expect(await readFile(path, 'utf8')).toBe('new');
});

async function runAlone(
  text: string,
  { before = '', ...options }: { before?: string; uid?: number; gid?: number } = {},
) {
  const source = await readFile('src/replace-file.ts', 'utf8');
  const program = await mkdtemp(join(tmpdir(), 'leadmirror-replace-'));
  try {
    const { code } = await transform(source, { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } });
    await writeFile(join(program, 'replace-file.mjs'), code);
    await chmod(program, 0o755);
    const script = `import { replaceFile } from ${JSON.stringify(join(program, 'replace-file.mjs'))};
      await replaceFile(process.argv[1], ${text}).catch((error) => process.stdout.write(error.code));`;
    const args = ['-c', `${before} exec "$@"`, 'sh', process.execPath, '--input-type=module', '-e', script, file];
    return spawnSync('/bin/sh', args, { encoding: 'utf8', cwd: '/', ...options });
  } finally {
    await rm(program, { recursive: true });
  }
}

test('a file in a folder that takes no new one is written in place', async () => {
  await writeFile(file, 'a longer old text');
  await chmod(file, 0o666);
  await chmod(folder, 0o555);
  // Root may write everywhere, so somebody else does.
  const { stdout, stderr } = await runAlone("'new'", process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {});
  expect([stdout, stderr]).toEqual(['', '']);
  expect(await readFile(file, 'utf8')).toBe('new');
  await chmod(folder, 0o755);
});

test.each([false, true])(
  'without room the old file stays whole, and nothing is left behind (new: %s)',
  async (isNew) => {
    if (!isNew) await writeFile(file, 'old');
    // A limit of the process stands for a full disk: the write fails in the middle, too.
    const { stdout } = await runAlone("'x'.repeat(1_000_000)", { before: "trap '' XFSZ; ulimit -f 100;" });
    expect(stdout).toBe('EFBIG');
    expect(await readdir(folder)).toEqual(isNew ? [] : ['file']);
    if (!isNew) expect(await readFile(file, 'utf8')).toBe('old');
  },
);

/** Only root has somebody else’s link at hand. */
if (process.getuid?.() === 0) {
  test('a link of somebody else is followed to their own file only', async () => {
    await writeFile(join(folder, 'ours'), 'old');
    await symlink('ours', file);
    await lchown(file, 65_534, 65_534);
    expect(await codeOf(replaceFile(file, 'new'))).toBe('EPERM');
    expect(await readFile(join(folder, 'ours'), 'utf8')).toBe('old');
    await chown(join(folder, 'ours'), 65_534, 65_534);
    await replaceFile(file, 'new');
    expect(await readFile(join(folder, 'ours'), 'utf8')).toBe('new');
    expect((await stat(join(folder, 'ours'))).uid).toBe(65_534);
    await symlink('nothing yet', join(folder, 'dangling'));
    await lchown(join(folder, 'dangling'), 65_534, 65_534);
    expect(await codeOf(replaceFile(join(folder, 'dangling'), 'new'))).toBe('EPERM');
    await symlink('/dev/null', join(folder, 'device'));
    await lchown(join(folder, 'device'), 65_534, 65_534);
    expect(await codeOf(replaceFile(join(folder, 'device'), 'new'))).toBe('EPERM');
  });
}
