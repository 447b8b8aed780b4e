import { readFileSync } from 'node:fs';

/** Of this program: from package.json, found from the sources and from `dist/` alike. */
export function readVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
      if (name === 'leadmirror') return String(version);
    } catch {
      // Not at this depth.
    }
  }
  return 'unknown';
}
