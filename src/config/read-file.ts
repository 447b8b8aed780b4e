import { readFileSync, statSync } from 'node:fs';
import { decodeText } from './decode.ts';
import type { Findings } from './findings.ts';
import { tidy } from './tidy.ts';

type ReadResult = { readonly text: string; readonly mode: number } | { readonly why: string };

/** Far above any real `.env`, key or token; keeps a device file or a log named by mistake out of memory. */
const MAX_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  EISDIR: 'it is a folder',
};

function readText(path: string, maxBytes = MAX_BYTES): ReadResult & { readonly code?: string } {
  try {
    const stats = statSync(path);
    // A pipe is fine: `TILEDESK_PASSWORD_FILE=<(pass show tiledesk)`.
    if (!stats.isFile() && !stats.isFIFO()) return { why: 'cannot be read: it is not a file' };
    if (stats.size > maxBytes) {
      return { why: `cannot be used: the file is larger than ${maxBytes / MAX_BYTES} MB` };
    }
    const decoded = decodeText(readFileSync(path));
    return 'why' in decoded ? decoded : { ...decoded, mode: stats.mode };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return { why: `cannot be read: ${REASONS[code] ?? 'the path is not usable'}`, code };
  }
}

/** A file that need not exist: null when it does not. */
export function readOptionalText(path: string, maxBytes?: number): ReadResult | null {
  const result = readText(path, maxBytes);
  return 'why' in result && result.code === 'ENOENT' ? null : result;
}

/** A secret mounted as a file; null when there is none to be had. */
export function readSecretFile(
  path: string,
  { label, keepsSpaces, findings }: { label: string; keepsSpaces: boolean; findings: Findings },
): string | null {
  const result = readText(path);
  const text = 'text' in result ? tidy(result.text, { label, keepsSpaces, findings }) : null;
  // What an orchestrator mounts is open to its own container alone.
  if ('text' in result && !/^\/(var\/)?run\//.test(path))
    noteIfOpen(`${label} names a file that`, path, result.mode, findings);
  if (text) return text;
  findings.problem(label, `names a file that ${'why' in result ? result.why : 'is empty'}`);
  return null;
}

/** Finds that others may read or change a file with secrets in it. */
export function noteIfOpen(what: string, path: string, mode: number, findings: Findings): void {
  // Windows has no such modes.
  if (process.getuid === undefined || (mode & 0o006) === 0) return;
  const may = (mode & 0o002) === 0 ? 'read' : 'change';
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  findings.openFiles.push(`${what} every user of this machine may ${may} (mode ${octal}); close it: chmod 600 ${path}`);
}
