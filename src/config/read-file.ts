import { readFileSync, statSync } from 'node:fs';
import type { Findings } from './findings.ts';

export type ReadResult = { readonly text: string } | { readonly why: string };

/** Far above any real `.env`, key or token; keeps a device file or a log named by mistake out of memory. */
const MAX_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  EISDIR: 'it is a folder',
};

function codeOf(error: unknown): string {
  // By shape, not by class: a test runner's errors of `fs` come from another realm.
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function readText(path: string, maxBytes = MAX_BYTES): ReadResult & { readonly code?: string } {
  try {
    const stats = statSync(path);
    // A pipe is fine: `TILEDESK_PASSWORD_FILE=<(pass show tiledesk)`.
    if (!stats.isFile() && !stats.isFIFO()) return { why: 'cannot be read: it is not a file' };
    if (stats.size > maxBytes) {
      return { why: `cannot be used: the file is larger than ${maxBytes / MAX_BYTES} MB` };
    }
    return { text: readFileSync(path, 'utf8').replace(/^\uFEFF/, '') };
  } catch (error) {
    const code = codeOf(error);
    return { why: `cannot be read: ${REASONS[code] ?? 'the path is not usable'}`, code };
  }
}

/** A file that need not exist: null when it does not. */
export function readOptionalText(path: string, maxBytes?: number): ReadResult | null {
  const result = readText(path, maxBytes);
  return 'why' in result && result.code === 'ENOENT' ? null : result;
}

/** A secret mounted as a file, without the line end that editors and `echo` put behind it; null when there is none to be had. */
export function readSecretFile(path: string, label: string, findings: Findings): string | null {
  const result = readText(path);
  const text = 'text' in result ? result.text.replace(/[\r\n]+$/, '') : null;
  if (text) return text;
  findings.problem(label, `names a file that ${'why' in result ? result.why : 'is empty'}`);
  return null;
}
