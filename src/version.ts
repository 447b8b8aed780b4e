import { existsSync, readFileSync } from 'node:fs';

/** Returns a file of this package, found from the sources and from `dist/` alike; null where it is not installed. */
export function readPackageFile(name: string): string | null {
  const urls = ['..', '../..'].map((up) => new URL(`${up}/${name}`, import.meta.url));
  const url = urls.find((each) => existsSync(each));
  return url === undefined ? null : readFileSync(url, 'utf8');
}

export function readVersion(): string {
  const { version = 'unknown' } = JSON.parse(readPackageFile('package.json') ?? '{}');
  return String(version);
}
