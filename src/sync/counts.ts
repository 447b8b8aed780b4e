import { UpstreamContractError } from '../errors.ts';
import { type CountKnowledge, type CountOffset, differenceOf } from '../store/engine/count-checks.ts';
import { readProgress } from '../store/engine/leases.ts';
import { readOpenQuarantine } from '../store/engine/quarantine.ts';
import { type CountQuery, countAlive, countErased, readBorders } from '../store/mirror/counts.ts';
import { readIdsWhere } from '../store/mirror/mirrored.ts';
import type { CountedList, List, ListWindow } from '../stream.ts';
import { withExtras } from './bisect-counts.ts';
import { preparePage, recordOf } from './map-page.ts';
import type { Run } from './run-pass.ts';
import { walkPages } from './walk-pages.ts';

/** The server contradicts its own count, which is therefore used for nothing. */
export class WrongCount extends Error {}

export interface Look {
  readonly total: number;
  readonly difference: number;
  /** The mirror has the newest change that the list shows, or nothing came or went while it was brought up to date. */
  readonly isCurrent: boolean;
}

export interface Extra {
  /** When it was created; null: not known, or the list has no windows. */
  readonly at: number | null;
  readonly rows: number;
  /** Of a quarantined record. */
  readonly recordId?: string;
  /** Counted and never listed. */
  readonly isUnlisted?: boolean;
}

/** A window of so many pages' rows is read by two requests, overlap included. */
const PAGES_EACH = 1.8;

export class Counts {
  readonly #run: Run;
  readonly #offsets: readonly CountOffset[];
  #leftOut: readonly number[];
  #asked = 0;

  /** `offsets`: what the upstream counts beyond the rows of the mirror. */
  constructor(run: Run, { offsets, leftOut }: CountKnowledge) {
    this.#run = run;
    this.#offsets = offsets;
    this.#leftOut = leftOut;
  }

  get asked(): number {
    return this.#asked;
  }

  get leftOut(): readonly number[] {
    return this.#leftOut;
  }

  /** Whole windows were read: these rows of erased persons were shown in them and are left out here. */
  setLeftOut(windows: readonly ListWindow[], createdAt: readonly number[]): void {
    const isRead = (at: number) => windows.some((window) => isInside({ at, rows: 1 }, window));
    this.#leftOut = [...this.#leftOut.filter((at) => !isRead(at)), ...createdAt];
  }

  async countErased(list: CountedList): Promise<number> {
    const known = this.#offsets.filter((offset) => offset.list === list.id);
    const missing = known.reduce((sum, { erased = 0 }) => sum + erased, 0);
    return (await countErased(this.#run.parts.prisma, this.#mirrored(list))) + missing;
  }

  /** The mirror before the upstream: what is written meanwhile can only show a difference, never hide one. */
  async look(list: CountedList): Promise<Look> {
    const { prisma } = this.#run.parts;
    const alive = await countAlive(prisma, this.#mirrored(list));
    const expected = alive + sumOf(await this.#readExtras(list));
    const watermark = await this.watermark(list);
    const { total, newest } = await this.count(list, null);
    if (total === 0 && expected > 0) throw new WrongCount();
    return { total, difference: total - expected, isCurrent: newest === null || newest <= (watermark ?? 0) };
  }

  /** After an incremental pass: when the total is the same as before, nothing moves. */
  async lookAgain(list: CountedList, before: Look): Promise<Look> {
    const look = await this.look(list);
    return { ...look, isCurrent: look.isCurrent || look.total === before.total };
  }

  async count(list: CountedList, window: ListWindow | null) {
    const { fetch } = this.#run;
    this.#asked += 1;
    const sort = window === null ? 'updated_at' : 'created_at';
    const query = { sort, direction: 'desc', offset: 0, limit: 1, wantTotal: true, ...(window && { window }) } as const;
    const page = await list.fetchPage(query, fetch);
    if (page.total === null || page.total < page.entries.length) throw new WrongCount();
    // Shown, so it is there: an answer about it by id shows whether the server can be asked.
    const seen = { list: '@counted', ids: page.entries.flatMap(({ id }) => id ?? []) };
    if (window === null) await this.#run.write(null, () => ({ seen, checkpoint: { cursor: null }, end: null }));
    return { total: page.total, newest: page.entries[0]?.updatedAt ?? null };
  }

  #mirrored({ rows }: CountedList): CountQuery {
    const { lease, job } = this.#run;
    return { connectionId: lease.connectionId, table: job.stream.table, ...(rows && { rows }) };
  }

  /** What the incremental pass brought of this list; of one that it reads as part of another, the oldest. */
  async watermark({ id }: CountedList): Promise<number | null> {
    const { watermark } = await readProgress(this.#run.parts.prisma, this.#run.lease, 'incremental');
    const times = watermark?.[id] === undefined ? Object.values(watermark ?? {}) : [watermark[id]];
    return times.length === 0 ? null : Math.min(...times.map((iso) => Date.parse(iso)));
  }

  /** What the upstream counts and the mirror has no row of: quarantined, of erased persons, and never listed. */
  async #readExtras(list: CountedList): Promise<Extra[]> {
    const { parts, lease, job } = this.#run;
    const filter = { connectionId: lease.connectionId, streams: [lease.stream] };
    const open = await readOpenQuarantine(parts.prisma, filter);
    const ids = open.map(({ record_id }) => record_id);
    const table = { connectionId: lease.connectionId, table: job.stream.table };
    const stored = new Set(await readIdsWhere(parts.prisma, table, { column: 'id', values: ids }));
    const quarantined = open.flatMap(({ record_id: recordId, raw_text }): Extra[] => {
      const entry = stored.has(recordId) ? null : list.entryOf(recordOf(raw_text) ?? null);
      return entry === null ? [] : [{ at: entry.createdAt, rows: 1, recordId }];
    });
    const offsets = this.#offsets.filter((offset) => offset.list === list.id);
    const expected = offsets.map((offset): Extra => {
      return { at: offset.window?.toMs ?? null, rows: differenceOf(offset), isUnlisted: offset.rows !== 0 };
    });
    // Without windows it is not known in which list they are: what a full sync did not explain is expected there.
    const leftOut = list.walkWindow === undefined ? [] : this.#leftOut.map((at): Extra => ({ at, rows: 1 }));
    return [...quarantined, ...expected, ...leftOut];
  }

  async readOlder(list: CountedList, end: number) {
    const { prisma } = this.#run.parts;
    const extras = await this.#readExtras(list);
    const by = { untilMs: end, step: Math.max(1, Math.floor(list.pageSize * PAGES_EACH)) };
    const { borders, dateless } = await readBorders(prisma, this.#mirrored(list), by);
    const dated = extras.flatMap(({ at, rows }) => (at === null ? [] : [{ at, rows }]));
    const expected = withExtras(borders, dated);
    const { total } = await this.count(list, { field: 'created_at', toMs: end });
    const difference = total - (expected.at(-1)?.rows ?? 0);
    return {
      borders: expected,
      dateless: dateless + sumOf(extras.filter((extra) => extra.at === null)),
      difference,
      extras,
    };
  }
}

export const isInside = ({ at }: Extra, { fromMs = -Infinity, toMs = Infinity }: ListWindow): boolean =>
  at !== null && fromMs <= at && at <= toMs;

export const sumOf = (some: readonly { readonly rows: number }[]): number =>
  some.reduce((sum, { rows }) => sum + rows, 0);

export type WindowedList = CountedList & Required<Pick<CountedList, 'walkWindow'>>;

/**
 * `unlisted`: how many rows the list counts in it beyond those that it shows. `leftOut`: when those were created that
 * it shows and that have no row here, because their person was erased.
 */
export async function readWindow(run: Run, list: WindowedList, window: ListWindow) {
  const walk = list.walkWindow(window);
  const shown = new Set<string>();
  const createdAt = new Map<string, number>();
  const left = new Set<string>();
  let withoutId = 0;
  let total = 0;
  const id = `window.${window.fromMs ?? ''}.${window.toMs ?? ''}`;
  const fetchPage: List['fetchPage'] = async (query, options) => {
    const page = await list.fetchPage(query, options);
    total = page.total ?? total;
    if (query.wantTotal && (page.total ?? -1) < page.entries.length) throw new WrongCount();
    for (const { id, createdAt: at } of page.entries) if (id !== null && at !== null) createdAt.set(id, at);
    withoutId = Math.max(withoutId, page.entries.filter((entry) => entry.id === null).length);
    return page;
  };
  const pages = walkPages({ id, walk, fetchPage }, walk.start(), {
    ...run.fetch,
    prepare: (page, askedAt) => preparePage(run, page, askedAt),
    lookUp: async () => new Set(),
  });
  let isWhole = true;
  try {
    for await (const { prepared, ids, step } of pages) {
      for (const each of ids) shown.add(each);
      for (const each of prepared.left) left.add(each);
      const seen = { list: id, ids };
      await run.write(prepared.page, () => ({ seen, checkpoint: { cursor: null }, end: null }));
      isWhole = step.end?.kind !== 'gave_up';
    }
  } catch (error) {
    // Counted and not sent: what it did not show is no suspect.
    if (!(error instanceof UpstreamContractError && error.code === 'truncated_page')) throw error;
    isWhole = false;
  }
  const { connectionId } = run.lease;
  const table = { connectionId, table: run.job.stream.table };
  const emptied = new Set(await readIdsWhere(run.parts.prisma, table, { column: 'id', values: [...left] }));
  const leftOut = [...left].flatMap((each) => (emptied.has(each) ? [] : (createdAt.get(each) ?? [])));
  return { isWhole, unlisted: Math.max(0, total - shown.size - withoutId), leftOut };
}
