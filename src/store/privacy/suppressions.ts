import type { PrismaClient } from '../../generated/prisma/client.ts';
import { createMarkHash, HASH_BYTES, hashMark, type Mark } from './marks.ts';

/** What an account must not bring back, as it was read after the epoch of the run's checkpoint. */
export interface Suppressions {
  readonly isEmpty: boolean;
  has(mark: Mark): boolean;
  /** Until when (ms) what was created is covered, by mark; `Infinity`: for ever. Marks that were lifted are left out. */
  limitsOf(marks: readonly Mark[]): Promise<ReadonlyMap<Mark, number>>;
  /** When the rows with these marks were created (ms); null: not known. Marks that were lifted are left out. */
  createdAtOf(marks: readonly Mark[]): Promise<readonly (number | null)[]>;
  /** Rows whose texts were removed, and until when (ms) what refers to them was created. Null: the account has none. */
  readonly erasedTexts: ErasedTexts | null;
  /** When the list was read, by the database's clock. */
  readonly readAt: Date;
  /** What was found to be gone upstream before this time was removed here. Null: it is kept. */
  readonly goneBefore: Date | null;
}

/** Those of the rows, by `stream id`. */
export type ErasedTexts = (rows: readonly RowName[]) => Promise<ReadonlyMap<string, number>>;

/** A row by its id, or by a key under which others refer to it. */
export interface RowName {
  readonly stream: string;
  readonly id: string;
}

const NUMBERS = HASH_BYTES / 4;

export class StoredSuppressions implements Suppressions {
  readonly #prisma: PrismaClient;
  readonly #connectionId: string;
  readonly #key: Buffer;
  readonly erasedTexts: ErasedTexts | null;
  readAt = new Date(0);
  goneBefore: Date | null = null;
  /** Hashes in order, four numbers each: 16 bytes of memory, where a set takes 53. */
  readonly #hashes: Int32Array;
  /** Where the hashes begin whose first bits are the index in this list: one each, as a rule. */
  readonly #starts: Uint32Array;
  readonly #shift: number;
  readonly #hash: (mark: Mark) => Buffer;

  constructor(prisma: PrismaClient, { connectionId, key, hashes, erasedTexts = null }: SuppressionParts) {
    this.#prisma = prisma;
    this.#connectionId = connectionId;
    this.#key = key;
    this.#hash = createMarkHash(key);
    const count = hashes.length / HASH_BYTES;
    const bits = Math.max(1, Math.ceil(Math.log2(count + 1)));
    this.#shift = 32 - bits;
    this.#hashes = new Int32Array(count * NUMBERS);
    for (let at = 0; at < this.#hashes.length; at += 1) this.#hashes[at] = hashes.readInt32BE(at * 4);
    this.#starts = new Uint32Array(2 ** bits + 1);
    for (let n = 0, at = 0; n < this.#starts.length; n += 1) {
      while (at < count && (this.#hashes[at * NUMBERS] as number) >>> this.#shift < n) at += 1;
      this.#starts[n] = at;
    }
    this.erasedTexts = erasedTexts;
  }

  get isEmpty(): boolean {
    return this.#hashes.length === 0;
  }

  has(mark: Mark): boolean {
    const hash = this.#hash(mark);
    const first = hash.readInt32BE(0);
    const bits = first >>> this.#shift;
    const end = (this.#starts[bits + 1] as number) * NUMBERS;
    const all = this.#hashes;
    for (let at = (this.#starts[bits] as number) * NUMBERS; at < end; at += NUMBERS) {
      if (all[at] !== first || all[at + 1] !== hash.readInt32BE(4)) continue;
      if (all[at + 2] === hash.readInt32BE(8) && all[at + 3] === hash.readInt32BE(12)) return true;
    }
    return false;
  }

  async limitsOf(marks: readonly Mark[]): Promise<ReadonlyMap<Mark, number>> {
    const limits = new Map<Mark, number>();
    for (const { mark, until } of await this.#read(marks)) {
      limits.set(mark, Math.max(limits.get(mark) ?? 0, until?.getTime() ?? Number.POSITIVE_INFINITY));
    }
    return limits;
  }

  async createdAtOf(marks: readonly Mark[]): Promise<readonly (number | null)[]> {
    const found = await this.#read(marks);
    return [...new Map(found.map(({ mark, created_at }) => [mark, created_at?.getTime() ?? null])).values()];
  }

  async #read(marks: readonly Mark[]) {
    if (marks.length === 0) return [];
    const byHash = new Map(marks.map((mark) => [hashMark(this.#key, mark).toString('base64'), mark]));
    const hashes = [...byHash.keys()].map((hash) => Buffer.from(hash, 'base64'));
    const rows = await this.#prisma.syncSuppression.findMany({
      where: { connection_id: this.#connectionId, hash: { in: hashes } },
      select: { hash: true, until: true, created_at: true },
    });
    return rows.map((row) => ({ ...row, mark: byHash.get(Buffer.from(row.hash).toString('base64')) ?? '' }));
  }
}

/** Of an account without any. */
export const NO_SUPPRESSIONS: Suppressions = {
  isEmpty: true,
  has: () => false,
  limitsOf: async () => new Map(),
  createdAtOf: async () => [],
  erasedTexts: null,
  readAt: new Date(0),
  goneBefore: null,
};

export interface SuppressionParts {
  readonly connectionId: string;
  readonly key: Buffer;
  readonly hashes: Buffer;
  readonly erasedTexts?: ErasedTexts | null;
}

/** All hashes of an account in order; empty: there are none. */
export async function readHashes(prisma: PrismaClient, connectionId: string): Promise<Buffer> {
  const [row] = await prisma.$queryRaw<{ hashes: Uint8Array | null }[]>`
    select string_agg(hash, ''::bytea order by hash) as hashes from sync.suppressions where connection_id = ${connectionId}`;
  return Buffer.from(row?.hashes ?? []);
}

/** How many erasures there were, for a writer that has no checkpoint. */
export const readPrivacyEpoch = async (prisma: PrismaClient): Promise<bigint> =>
  (await prisma.syncPrivacy.findUniqueOrThrow({ where: { id: 1 } })).epoch;

/** Null: no text of the account was removed yet. */
export async function readErasedTexts(prisma: PrismaClient, connection_id: string): Promise<ErasedTexts | null> {
  if ((await prisma.syncErasedText.findFirst({ where: { connection_id } })) === null) return null;
  return async (rows) => {
    const where = { connection_id, id: { in: [...new Set(rows.map(({ id }) => id))] } };
    const found = rows.length === 0 ? [] : await prisma.syncErasedText.findMany({ where });
    return new Map(found.map(({ stream, id, until }) => [`${stream} ${id}`, until.getTime()]));
  };
}
