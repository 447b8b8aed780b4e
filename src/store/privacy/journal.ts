import { createHash, randomUUID } from 'node:crypto';
import { constants, open, readFile, stat } from 'node:fs/promises';
import { PrivacyError } from '../../errors.ts';

/**
 * The journal of erasures: a file outside the database and its backups, so that a restored database learns what was
 * erased since. Each line is JSON; the first names the journal and holds the key of the hashes, encrypted with
 * LEADMIRROR_SECRET_KEY, because a backup from before the first erasure has none. No line holds personal data.
 */
export interface JournalHead {
  readonly journal: string;
  /** base64 */
  readonly key: string;
}

export interface JournalHash {
  readonly connection: string;
  /** base64 */
  readonly hash: string;
  readonly kind: string;
  readonly stream: string | null;
  readonly created: string | null;
  readonly until: string | null;
}

export type JournalEntry =
  | {
      readonly erasure: string;
      readonly at: string;
      readonly reason: string;
      readonly deletes: boolean;
      readonly hashes: readonly JournalHash[];
    }
  | { readonly lifted: string; readonly at: string };

export interface Journal {
  readonly head: JournalHead;
  readonly entries: readonly JournalEntry[];
  /** The digest behind each entry: of the entry and of all before it. */
  readonly digests: readonly string[];
  /** Bytes of all whole lines. */
  readonly size: number;
}

/** The digest of a journal without entries is its id. */
export const lastDigest = ({ head, digests }: Journal): string => digests.at(-1) ?? head.journal;

const digest = (before: string, line: string): string =>
  createHash('sha256').update(`${before}\n${line}`).digest('hex');

/**
 * Null: there is no such file, or it is empty, as a full disk or a kill leaves it before the first line. A last line
 * that was cut short counts as not written. @throws PrivacyError
 */
export async function readJournal(path: string): Promise<Journal | null> {
  const facts = await stat(path).catch(() => null);
  if (facts !== null && !facts.isFile()) throw unusable(path, new Error('no file'));
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw unusable(path, error);
  });
  if (text === null || text === '') return null;
  const lines = text.split('\n').slice(0, -1);
  try {
    const head = JSON.parse(lines[0] ?? '') as JournalHead;
    if (typeof head.journal !== 'string' || typeof head.key !== 'string') throw new SyntaxError('no head');
    const digests: string[] = [];
    const entries = lines.slice(1).map((line): JournalEntry => {
      digests.push(digest(digests.at(-1) ?? head.journal, line));
      return JSON.parse(line);
    });
    return { head, entries, digests, size: Buffer.byteLength(`${lines.join('\n')}\n`) };
  } catch (error) {
    throw unusable(path, error as Error);
  }
}

/** @throws PrivacyError when it cannot be written; an empty file is left of it then */
export async function createJournal(path: string, sealedKey: Buffer): Promise<Journal> {
  const head: JournalHead = { journal: randomUUID(), key: sealedKey.toString('base64') };
  const line = `${JSON.stringify(head)}\n`;
  await appendSafely(path, line, 0);
  return { head, entries: [], digests: [], size: Buffer.byteLength(line) };
}

/** Returns the digest behind the new entry, which is on the disk by then. @throws PrivacyError, and nothing is written */
export async function appendEntry(path: string, journal: Journal, entry: JournalEntry): Promise<string> {
  const line = JSON.stringify(entry);
  await appendSafely(path, `${line}\n`, journal.size);
  return digest(lastDigest(journal), line);
}

/** Writes behind `size`: what a full disk or a kill left there is cut off. */
async function appendSafely(path: string, text: string, size: number): Promise<void> {
  try {
    const create = size === 0 ? constants.O_CREAT : 0;
    const file = await open(path, constants.O_WRONLY | constants.O_APPEND | create, 0o600);
    try {
      if (create !== 0 && (await file.stat()).size > 0) throw new Error('another process made it meanwhile');
      await file.truncate(size);
      try {
        // Until all of it is written: where room ends, the last write fails, not the first, which is cut short.
        await file.appendFile(text);
        await file.sync();
      } catch (error) {
        await file.truncate(size).catch(() => {});
        throw error;
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw unusable(path, error as NodeJS.ErrnoException);
  }
}

/** Changes with every write. */
export async function journalStamp(path: string): Promise<string> {
  const facts = await stat(path, { bigint: true }).catch(() => null);
  return facts === null ? 'none' : `${facts.ino} ${facts.size} ${facts.mtimeNs}`;
}

function unusable(path: string, error: NodeJS.ErrnoException | Error): PrivacyError {
  const why = 'code' in error && error.code !== undefined ? ` (${error.code})` : '';
  return new PrivacyError(
    'journal_unusable',
    `the journal of erasures, ${path}, cannot be read or written${why}; nothing was erased. PRIVACY_JOURNAL names it: it has to be in a folder that exists, with room, and be a journal that leadmirror wrote`,
  );
}
