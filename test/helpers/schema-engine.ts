import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import { findPrismaDirectory } from '../../src/store/migrate.ts';

/** Prisma's schema engine, as WebAssembly: it writes the SQL that schema.prisma describes. Its package has no documented interface (7.10). */
export async function createSchemaEngine(url: string) {
  const engineModule = await schemaEngineModule();
  const schemaFile = join(await findPrismaDirectory(), 'schema.prisma');
  const adapter = new PrismaPg({ connectionString: url, max: 1, idleTimeoutMillis: 100 });
  return engineModule.SchemaEngine.new(
    { datamodels: [[schemaFile, await readFile(schemaFile, 'utf8')]] },
    () => {},
    bindMigrationAwareSqlAdapterFactory(adapter),
  );
}

// Node has it, its type declarations of this version do not.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

let loadedEngine: ReturnType<typeof loadSchemaEngine> | null = null;

/** Once per process: the engine's glue is one for all, and a second instance would be read through the memory of the first. */
function schemaEngineModule() {
  loadedEngine ??= loadSchemaEngine().catch((error) => {
    loadedEngine = null;
    throw error;
  });
  return loadedEngine;
}

async function loadSchemaEngine() {
  const glue = await import('@prisma/schema-engine-wasm/schema_engine_bg');
  const wasmFile = fileURLToPath(import.meta.resolve('@prisma/schema-engine-wasm')).replace(
    /schema_engine\.js$/,
    'schema_engine_bg.wasm',
  );
  const imports = { ...glue, ...withoutHold(glue) };
  const { instance } = await WebAssembly.instantiate(await readFile(wasmFile), { './schema_engine_bg.js': imports });
  glue.__wbg_set_wasm(instance.exports);
  (instance.exports.__wbindgen_start as () => void)();
  return glue;
}

/** The engine forgets a timer of 10 s for its own lock: a command would end so much later than its work. */
function withoutHold(glue: object): Record<string, (...args: unknown[]) => unknown> {
  const starters = Object.entries(glue).filter(([name]) => name.startsWith('__wbg_setTimeout'));
  return Object.fromEntries(
    starters.map(([name, start]) => [
      name,
      (...args: unknown[]) => {
        const timer: NodeJS.Timeout = start(...args);
        return timer.unref();
      },
    ]),
  );
}
