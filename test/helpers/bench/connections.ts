import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder with a `leadmirror.yaml`, to start the program in. */
export interface ConnectionsFolder {
  readonly path: string;
  write(connections: readonly Entry[]): Promise<void>;
  remove(): Promise<void>;
}

type Entry = Readonly<Record<string, string>>;

export async function writeConnections(connections: readonly Entry[]): Promise<ConnectionsFolder> {
  const path = await mkdtemp(join(tmpdir(), 'leadmirror-connections-'));
  const write = (entries: readonly Entry[]) => writeFile(join(path, 'leadmirror.yaml'), toYaml(entries));
  await write(connections);
  return { path, write, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Every JSON text is a YAML text. */
function toYaml(entries: readonly Entry[]): string {
  const items = entries.map((entry) => {
    const lines = Object.entries(entry).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
    return `  - ${lines.join('\n    ')}\n`;
  });
  return `connections:\n${items.join('')}`;
}
