import { closeSync, constants, openSync, readFileSync, readSync, statSync } from 'node:fs';
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
    const tooLarge = { why: `cannot be used: the file is larger than ${maxBytes / MAX_BYTES} MB` };
    if (stats.size > maxBytes) return tooLarge;
    const bytes = stats.isFIFO() ? readPipe(path, maxBytes) : readFileSync(path);
    if (bytes === null)
      return { why: `cannot be read: it is a pipe, and nothing came through it within ${PIPE_MS / 1000} s` };
    if (bytes.length > maxBytes) return tooLarge;
    const decoded = decodeText(bytes);
    return 'why' in decoded ? decoded : { ...decoded, mode: stats.mode };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return { why: `cannot be read: ${REASONS[code] ?? 'the path is not usable'}`, code };
  }
}

const PIPE_MS = 15_000;
const PIPE_PAUSE_MS = 20;

/** Null when nothing arrives in time: opened as a file, a named pipe would block without end, also for signals. */
function readPipe(path: string, maxBytes: number): Buffer | null {
  const chunks: Buffer[] = [];
  const deadline = performance.now() + PIPE_MS;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    for (let size = 0; size <= maxBytes; ) {
      const chunk = readAvailable(fd);
      // No writer: not yet, or not any more.
      if (chunk?.length === 0 && size > 0) break;
      if (chunk !== null && chunk.length > 0) chunks.push(chunk);
      else if (performance.now() > deadline) return size > 0 ? Buffer.concat(chunks) : null;
      else Atomics.wait(pause, 0, 0, PIPE_PAUSE_MS);
      size += chunk?.length ?? 0;
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(fd);
  }
}

/** Null while a writer has sent nothing. */
function readAvailable(fd: number): Buffer | null {
  const buffer = Buffer.alloc(64 * 1024);
  try {
    return buffer.subarray(0, readSync(fd, buffer));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return null;
    throw error;
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
