import { createHash } from 'node:crypto';
import { readProgress } from '../store/engine/leases.ts';
import { compareRows, type RowDifference, writtenSince } from '../store/mirror/compare.ts';
import { encodePage } from '../store/mirror/pages.ts';
import { keepSeenIds, readSeenIds } from '../store/mirror/seen-ids.ts';
import { readAsOf } from '../store/reports/status.ts';
import type { List, MirroredRow, Row } from '../stream.ts';
import { canBeAsked, guardDeletions, readAllSuspects, suspectsOf, unconfirmed } from './deletion-guard.ts';
import { isPlainName, ODD_NAME } from './drift.ts';
import { mapPage } from './map-page.ts';
import { planLists } from './plan-lists.ts';
import { suppress } from './privacy/rules.ts';
import type { Run } from './run-pass.ts';
import type { Finding, VerifyJob, VerifyReport } from './verify.ts';
import { idsOn, walkPages } from './walk-pages.ts';
import { stopBefore } from './watermark.ts';

interface FoundRow extends Omit<Finding, 'id'> {
  /** The mirror's row had not been written since then when it was compared, by the database's clock. */
  readonly since: Date;
}

export class Verifier {
  readonly #run: Run;
  readonly #job: VerifyJob;
  readonly #findings = new Map<string, FoundRow>();
  /** Findings that a second look may take back. */
  readonly #unconfirmed = new Set<string>();
  /** What changed upstream before this time (ms) is in the mirror, or it is wrong. */
  #certainBefore = 0;
  /** The upstream's clock at the last page of the walk, ms. */
  #upstreamTime = 0;
  #upstreamRows = 0;
  #comparedRows = 0;
  #unreadable = 0;
  #marked = 0;
  readonly #rewritten = new Set<string>();

  constructor(run: Run, job: VerifyJob) {
    this.#run = run;
    this.#job = job;
  }

  /** Null, or why nothing was verified. */
  async compare(): Promise<VerifyReport['error']> {
    const { before: since } = suspectsOf(this.#run);
    await this.#run.readSuppressions();
    await this.#job.connection.open({ ...this.#run.fetch, onRequest: () => {} });
    this.#certainBefore = await this.#readCertainTime();
    const lists = await planLists(this.#run, 'reconcile');
    const unfinished = await this.#walk(lists, (rows) => this.#look(rows, since));
    if (unfinished !== null) return unfinished;
    for (const { id } of await this.#readExtras()) {
      this.#findings.set(id, { kind: 'extra', fields: [], since });
      this.#unconfirmed.add(id);
    }
    const isSettled = this.#unconfirmed.size === 0 && !(this.#job.repair && this.#findings.size > 0);
    const error = isSettled ? null : await this.#lookAgain(lists, since);
    await this.#settle();
    return error;
  }

  report(error: VerifyReport['error'], endedAt: Date): VerifyReport {
    const findings = [...this.#findings].map(([id, { kind, fields }]): Finding => ({ id, kind, fields }));
    return {
      connection: this.#job.connection.id,
      stream: this.#job.stream.name,
      upstreamRows: this.#upstreamRows,
      comparedRows: this.#comparedRows,
      unreadable: this.#unreadable,
      findings: findings.sort((a, b) => (a.id < b.id ? -1 : 1)),
      repaired: this.#rewritten.size + this.#marked,
      error,
      startedAt: this.#run.startedAt,
      endedAt,
    };
  }

  async #walk(lists: readonly List[], look: (rows: readonly Row[]) => Promise<void>): Promise<VerifyReport['error']> {
    const { lease, fetch, parts } = this.#run;
    for (const list of lists) {
      const pages = walkPages(list, list.walk.start(), {
        ...fetch,
        lookUp: (page) => readSeenIds(parts.prisma, lease, list.id, idsOn(page)),
        prepare: (page) => {
          this.#upstreamTime = Math.max(this.#upstreamTime, page.serverTime ?? 0);
          return suppress(this.#run.suppressions, this.#job.stream, mapPage(this.#job.stream, page));
        },
      });
      for await (const { prepared, ids, step } of pages) {
        await look(prepared.rows);
        this.#unreadable += prepared.bad.length;
        await keepSeenIds(parts.prisma, lease, list.id, step.seen ?? (list.walk.memory === 'walk' ? [] : ids));
        if (step.end?.kind === 'gave_up') return { code: 'walk_gave_up', message: step.end.reason };
      }
    }
    return null;
  }

  async #look(rows: readonly Row[], since: Date): Promise<void> {
    const { parts, lease } = this.#run;
    const ids = rows.map(({ id }) => id);
    const seen = await readSeenIds(parts.prisma, lease, SEEN, ids);
    const fresh = rows.filter(({ id }) => !seen.has(id));
    const byId = new Map(fresh.map((row) => [row.id, row]));
    const sampled = [...byId.keys()].filter((id) => isSampled(id, this.#job.sample));
    this.#upstreamRows += byId.size;
    this.#comparedRows += sampled.length;
    await keepSeenIds(parts.prisma, lease, SEEN, [...byId.keys()]);
    for (const difference of await this.#compareRows(fresh, sampled, since)) {
      const { id, is_fresh } = difference;
      const changedAt = latestTime(byId.get(id));
      this.#findings.set(id, foundIn(difference, since));
      if (is_fresh || changedAt === null || changedAt >= this.#certainBefore) this.#unconfirmed.add(id);
    }
    this.#job.onProgress?.(this.#upstreamRows);
  }

  #compareRows(rows: readonly Row[], byContent: readonly string[] | null, since: Date) {
    const { parts, lease } = this.#run;
    const { table } = this.#job.stream;
    return compareRows(parts.prisma, { connectionId: lease.connectionId, table, rows, byContent, since });
  }

  /**
   * Up to when the mirror should be complete: by the upstream's clock where there is a watermark, less the lookback
   * where rows may be listed late; else by the last complete pass, with a margin because clocks differ.
   */
  async #readCertainTime(): Promise<number> {
    const { prisma, lookbackMs } = this.#run.parts;
    const progress = await readProgress(prisma, this.#run.lease, 'incremental');
    const times = Object.keys(progress.watermark ?? {}).map((list) => stopBefore(progress, list, lookbackMs) ?? 0);
    if (times.length > 0) return Math.min(...times);
    const asOf = await readAsOf(prisma, this.#run.lease);
    return asOf === null ? 0 : asOf.getTime() - Math.max(lookbackMs, MARGIN_MS);
  }

  async #readExtras(): Promise<readonly MirroredRow[]> {
    const found: MirroredRow[] = [];
    for await (const rows of readAllSuspects(this.#run, 1000)) found.push(...rows);
    return found;
  }

  /** The findings once more, after a refresh; the lists count anew, under names of their own. */
  async #lookAgain(lists: readonly List[], startedAt: Date): Promise<VerifyReport['error']> {
    const { repair, refresh } = this.#job;
    const chosen = new Set(repair ? this.#findings.keys() : this.#unconfirmed);
    const refreshedAt = this.#upstreamTime === 0 ? this.#run.parts.clock.now() : this.#upstreamTime;
    await refresh();
    // That time is a second early. What was written before this verify began is no excuse.
    const refreshed = this.#run.databaseTime(performance.now());
    const since = new Date(Math.max(refreshed.getTime(), startedAt.getTime()));
    const again = lists.map((list): List => ({ ...list, id: `again.${list.id}` }));
    for (const [id, { kind }] of this.#findings) {
      if (kind !== 'extra' && this.#unconfirmed.has(id)) this.#findings.delete(id);
    }
    const unfinished = await this.#walk(again, async (rows) => {
      const looked = rows.filter(({ id }) => chosen.has(id));
      const changed = new Set(looked.filter((row) => (latestTime(row) ?? 0) >= refreshedAt).map(({ id }) => id));
      for (const difference of await this.#compareRows(looked, null, since)) {
        const { id, is_fresh } = difference;
        if (is_fresh || changed.has(id)) this.#findings.delete(id);
        else this.#findings.set(id, foundIn(difference, since));
      }
      if (repair) await this.#rewrite(looked.filter(({ id }) => this.#findings.has(id)));
    });
    return unfinished ?? this.#judgeExtras();
  }

  /** Takes back findings whose rows were written since they were compared, but not by this verify. */
  async #settle(): Promise<void> {
    const { parts, lease } = this.#run;
    const { table } = this.#job.stream;
    const compared = [...this.#findings].filter(([id, { kind }]) => kind !== 'extra' && !this.#rewritten.has(id));
    for (const since of new Set(compared.map(([, found]) => found.since))) {
      const ids = compared.filter(([, found]) => found.since === since).map(([id]) => id);
      const written = await writtenSince(parts.prisma, { connectionId: lease.connectionId, table, ids, since });
      for (const id of written) this.#findings.delete(id);
    }
  }

  /** From the list form, whatever version the mirror holds: a wrong date must not protect a wrong row. */
  async #rewrite(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const { table } = this.#job.stream;
    const page = encodePage({ table, rows, bad: [], replaceWrittenBefore: null, isForced: true });
    await this.#run.write(page, () => ({ checkpoint: { cursor: null }, end: null }));
    for (const { id } of rows) this.#rewritten.add(id);
  }

  /**
   * What came back is no finding; what two walks missed is extra, unless the upstream, asked by id, has it in no list.
   * Marked as deleted only under the conditions of a reconcile.
   */
  async #judgeExtras(): Promise<VerifyReport['error']> {
    const run = this.#run;
    const extras = await this.#readExtras();
    const isNothingShown = this.#upstreamRows === 0;
    const blocked = extras.length === 0 ? null : await guardDeletions(run, { suspects: extras.length, isNothingShown });
    const gone = blocked?.code === 'deletion_brake' ? null : await this.#askById(extras);
    const still = new Set((gone ?? extras).map(({ id }) => id));
    for (const [id, { kind }] of this.#findings) if (kind === 'extra' && !still.has(id)) this.#findings.delete(id);
    if (!this.#job.repair || still.size === 0) return null;
    if (blocked !== null) return blocked;
    if (this.#unreadable > 0 && gone === null) return unconfirmed(still.size);
    const { deleted } = run.counts;
    const { table, before } = suspectsOf(run);
    const tombstones = { table, before, ids: [...still] };
    await run.write(null, () => ({ tombstones, checkpoint: { cursor: null }, end: null }));
    this.#marked += run.counts.deleted - deleted;
    return null;
  }

  /** Those that the upstream does not have, asked one by one; null where it cannot be asked. */
  async #askById(extras: readonly MirroredRow[]): Promise<readonly MirroredRow[] | null> {
    const { exists } = this.#job.stream.deletions ?? {};
    if (exists === undefined || extras.length === 0 || !(await canBeAsked(this.#run, exists))) return null;
    const gone: MirroredRow[] = [];
    for (const row of extras) if ((await exists(row, this.#run.fetch)) !== true) gone.push(row);
    return gone;
  }
}

const NAMED = 20;

/** A column that has the name of a field is not named twice. */
function foundIn({ kind, fields, columns }: RowDifference, since: Date): FoundRow {
  const plain = (name: string) => (isPlainName(name) ? name : ODD_NAME);
  const named = new Set(fields.map((name) => name.replace(/([a-z\d])([A-Z])/g, '$1_$2').toLowerCase()));
  const names = [...fields.map(plain), ...columns.filter((name) => !named.has(name))];
  return { kind, fields: [...new Set(names)].slice(0, NAMED), since };
}

/** All ids of the first walk, whatever list showed them: an object in two lists is one object. */
const SEEN = '@seen';

/** Covers upstreams whose clock, or whose lists, lag behind ours. */
const MARGIN_MS = 10 * 60_000;

function latestTime(row: Row | undefined): number | null {
  const times = [row?.updated_at, row?.created_at].flatMap((at) => (typeof at === 'string' ? [Date.parse(at)] : []));
  return times.length === 0 ? null : Math.max(...times);
}

/** The same rows in every verify with this share, and more of them with a larger one. */
function isSampled(id: string, share: number): boolean {
  return share >= 1 || createHash('md5').update(id).digest().readUInt32BE(0) / 2 ** 32 < share;
}
