import { type BigIntStats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** What tells one state of a file from the next, by path: which file it is behind all links, its size, its times. Also that there is none. */
export type FileStamps = ReadonlyMap<string, string>;

/** Notes files as they are in the moment before they are read. */
export class StampedFiles {
  readonly #stamps = new Map<string, string>();

  readonly note = (path: string): void => {
    try {
      this.#stamps.set(path, stampOf(statSync(path, { bigint: true })));
    } catch (error) {
      this.#stamps.set(path, absence(error));
    }
  };

  get stamps(): FileStamps {
    return this.#stamps;
  }
}

/** The files as they are now. */
export async function stampsOf(paths: Iterable<string>): Promise<FileStamps> {
  const stamped = [...paths].map(
    async (path) => [path, await stat(path, { bigint: true }).then(stampOf, absence)] as const,
  );
  return new Map(await Promise.all(stamped));
}

export function isSameState(one: FileStamps, other: FileStamps): boolean {
  return one.size === other.size && [...one].every(([path, stamp]) => other.get(path) === stamp);
}

const stampOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join(' ');

const absence = (error: unknown): string => String((error as NodeJS.ErrnoException).code);
