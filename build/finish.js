import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The last step of the build: what the compiler does not copy.
 *
 * Of Prisma's client, 73 MB for all databases and both module systems, the program uses four files, 2.6 MB. They are put beside the generated code, which is
 * made to import them from there, so that the package does not have to depend on the rest.
 *
 *   node build/finish.js [folder of the build, default dist]
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const dist = process.argv[2] ?? join(ROOT, 'dist');
const CLIENT = join(ROOT, 'node_modules/@prisma/client');
const FILES = [
  'client',
  'query_compiler_small_bg.postgresql',
  'query_compiler_small_bg.postgresql.wasm-base64',
  'index-browser',
];
const TYPES = ['client', 'index-browser'];

await cp(join(ROOT, 'src/ops/assets'), join(dist, 'src/ops/assets'), { recursive: true });

const generated = join(dist, 'src/generated/prisma');
const runtime = join(generated, 'runtime');
await mkdir(runtime, { recursive: true });
for (const name of FILES) await copy(`runtime/${name}.mjs`, `${name}.mjs`);
for (const name of TYPES) await copy(`runtime/${name}.d.mts`, `${name}.d.mts`);
await copy('LICENSE', 'LICENSE');

for (const entry of await readdir(generated, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.parentPath.startsWith(runtime) || !/\.(js|d\.ts)$/.test(entry.name)) continue;
  const file = join(entry.parentPath, entry.name);
  const text = await readFile(file, 'utf8');
  const up = relative(entry.parentPath, runtime).replaceAll('\\', '/');
  const base = up.startsWith('.') ? up : `./${up}`;
  const moved = text.replace(/(["'])@prisma\/client\/runtime\/([\w.-]+)\1/g, (_, quote, target) => {
    return `${quote}${base}/${target.replace(/\.m?js$/, '')}.mjs${quote}`;
  });
  if (moved !== text) await writeFile(file, moved);
}

/** Source maps are left behind, and so is the word that asks for them. */
async function copy(from, to) {
  const text = await readFile(join(CLIENT, from), 'utf8');
  await writeFile(join(runtime, to), text.replace(/^\/\/# sourceMappingURL=.*$/m, ''));
}
