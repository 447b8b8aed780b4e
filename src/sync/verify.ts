import { createHash } from 'node:crypto';
import { isAbort, LeadmirrorError, LeaseLostError } from '../errors.ts';
import { readCancellation } from '../store/engine/control.ts';
import { isAccepted, isEmptinessAccepted } from '../store/engine/deletions.ts';
import { keepProof } from '../store/engine/proofs.ts';
import { endRun } from '../store/engine/runs.ts';
import { readProgress } from '../store/engine/watermarks.ts';
import { databaseError } from '../store/faults.ts';
import { compareRows, type DifferenceKind, type RowDifference, writtenSince } from '../store/mirror/compare.ts';
import { encodePage } from '../store/mirror/pages.ts';
import { forgetSeenIds, keepSeenIds, readSeenIds } from '../store/mirror/seen-ids.ts';
import { readSuspects, readVanishing, type SuspectQuery } from '../store/mirror/tombstones.ts';
import { readAsOf } from '../store/reports/status.ts';
import type { Connection, List, ListPage, MirroredRow, Row, Stream } from '../stream.ts';
import { isPlainName, ODD_NAME } from './drift.ts';
import { suddenlyEmpty } from './ending.ts';
import { withLease } from './lease-keeper.ts';
import { type MappedPage, mapPage } from './map-page.ts';
import { planLists } from './plan-lists.ts';
import { brakeHolds, canBeAsked } from './reconcile.ts';
import { type PassParts, Run } from './run-pass.ts';
import { walkPages } from './walk-pages.ts';
import { stopBefore } from './watermark.ts';

/**
 * Compares the mirror with the upstream, by a full walk that writes nothing: every row by id and version, and by content those that the sample takes.
 *
 * A busy account changes while it is read. What the mirror should have had before the last incremental pass is *certain* to differ; what changed later,
 * and what no list showed, is only doubted, and looked at once more after another incremental pass:
 *
 *   walk ─> doubts? ──no──> settle ─> proof
 *              └─yes─> incremental ─> walk again, those rows only ─> settle, with `repair` written as the list shows them ─> proof
 *
 * A row is settled, and no finding, when the mirror wrote it after it was compared, or when it changed upstream after that incremental pass: the next one
 * brings it.
 */
export interface VerifyJob {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly signal: AbortSignal;
  readonly maxWaitMs: number;
  readonly leaseWaitMs: number;
  /** Share of the rows that are compared by content, 0 to 1. */
  readonly sample: number;
  /** Writes what differs, past the version guard, and marks what is gone. */
  readonly repair: boolean;
  /** Brings what changed, as the schedule would. Its outcome does not matter here: what it leaves behind is what is compared. */
  readonly refresh: () => Promise<void>;
  readonly onProgress?: (rows: number) => void;
}

export type FindingKind = DifferenceKind | 'extra';

export interface Finding {
  readonly id: string;
  readonly kind: FindingKind;
  /** What differs, by name: top-level fields of the record, and columns where those tell nothing. Empty for missing and extra rows. */
  readonly fields: readonly string[];
}

export interface VerifyReport {
  readonly connection: string;
  readonly stream: string;
  /** Distinct objects that the upstream showed. */
  readonly upstreamRows: number;
  readonly comparedRows: number;
  /** Records that could not be mapped: nothing can be said about them. */
  readonly unreadable: number;
  readonly findings: readonly Finding[];
  readonly repaired: number;
  /** Null: the walk closed cleanly and the findings are all there is. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/** @throws LeaseBusyError, RunCancelledError while the stream is paused, DatabaseError, or what the signal aborts with */
export async function verifyStream(parts: PassParts, job: VerifyJob): Promise<VerifyReport> {
  const { prisma, clock } = parts;
  if (job.stream.notCompared !== undefined) return leftOut(job, job.stream.notCompared, new Date(clock.now()));
  const key = { connectionId: job.connection.id, stream: job.stream.name, pass: 'verify' as const };
  const { connection, stream, signal, maxWaitMs, leaseWaitMs } = job;
  const passJob = { connection, stream, signal, maxWaitMs, leaseWaitMs, pass: 'verify' as const };
  return withLease(parts, key, { waitMs: leaseWaitMs, signal }, async (lease, ended) => {
    const run = new Run(parts, passJob, lease, { signal: ended });
    const verifier = new Verifier(run, job);
    try {
      await forgetSeenIds(prisma, lease);
      const error = await verifier.compare().catch((cause: unknown) => explain(cause, run));
      const report = verifier.report(error, new Date(clock.now()));
      // A verify that only looked leaves no line among the runs; one that wrote does.
      if (report.repaired > 0) {
        const outcome = error === null ? ('succeeded' as const) : ('partial' as const);
        await endRun(prisma, lease, run.startedAt, run.counts, { outcome, error, watermark: null });
      }
      if (error === null) await keepProof(prisma, key, { ...count(report.findings), ...report });
      return report;
    } finally {
      await forgetSeenIds(prisma, lease).catch(() => {});
    }
  });
}

/** The code of a report on a stream that is never compared. */
export const NOT_COMPARED = 'not_compared';

function leftOut({ connection, stream }: VerifyJob, message: string, at: Date): VerifyReport {
  return {
    ...{ connection: connection.id, stream: stream.name, startedAt: at, endedAt: at },
    ...{ upstreamRows: 0, comparedRows: 0, unreadable: 0, repaired: 0, findings: [] },
    error: { code: NOT_COMPARED, message },
  };
}

/** Refusals and weather end up in the report; the rest is thrown on. */
async function explain(thrown: unknown, { parts, lease, fetch, job }: Run): Promise<VerifyReport['error']> {
  const isEnded = isAbort(thrown) && fetch.signal.aborted && !job.signal.aborted;
  const cause = isEnded ? fetch.signal.reason : thrown;
  const error = databaseError(cause, parts.databasePlace);
  if (error instanceof LeaseLostError) {
    const told = await readCancellation(parts.prisma, lease.runId);
    if (told !== null) return told;
  }
  if (error instanceof LeadmirrorError && error === cause) return { code: error.code, message: error.message };
  throw error;
}

function count(findings: readonly Finding[]) {
  const of = (kind: FindingKind) => findings.filter((finding) => finding.kind === kind).length;
  return { missing: of('missing'), stale: of('stale'), extra: of('extra'), different: of('different') };
}

class Verifier {
  readonly #run: Run;
  readonly #job: VerifyJob;
  readonly #findings = new Map<string, Found>();
  /** Findings that a second look may take back. */
  readonly #doubted = new Set<string>();
  /** What changed upstream before this time (ms) is in the mirror, or it is wrong. */
  #certainBefore = 0;
  /** The upstream's clock at the last page of the walk, ms. */
  #upstreamTime = 0;
  #upstreamRows = 0;
  #comparedRows = 0;
  #unreadable = 0;
  #repaired = 0;
  readonly #rewritten = new Set<string>();

  constructor(run: Run, job: VerifyJob) {
    this.#run = run;
    this.#job = job;
  }

  /** Null, or why nothing was proven. */
  async compare(): Promise<VerifyReport['error']> {
    await this.#job.connection.open({ ...this.#run.fetch, onRequest: () => {} });
    this.#certainBefore = await this.#readCertainTime();
    const lists = await planLists(this.#run, 'reconcile');
    const unfinished = await this.#walk(lists, (rows) => this.#look(rows));
    if (unfinished !== null) return unfinished;
    for (const { id } of await this.#extras()) this.#doubt(id, { kind: 'extra', fields: [], since: this.#startedAt });
    const isSettled = this.#doubted.size === 0 && !(this.#job.repair && this.#findings.size > 0);
    const error = isSettled ? null : await this.#lookAgain(lists);
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
      repaired: this.#repaired,
      error,
      startedAt: this.#run.startedAt,
      endedAt,
    };
  }

  /** Every row once, in the order of the lists. */
  async #walk(lists: readonly List[], look: (rows: readonly Row[]) => Promise<void>): Promise<VerifyReport['error']> {
    const { prisma } = this.#run.parts;
    const { lease, fetch } = this.#run;
    for (const list of lists) {
      const prepare = (page: ListPage): MappedPage => {
        this.#upstreamTime = Math.max(this.#upstreamTime, page.serverTime ?? 0);
        return mapPage(this.#job.stream, page);
      };
      const recall = (page: ListPage) =>
        readSeenIds(
          prisma,
          lease,
          list.id,
          page.entries.map(({ id }) => id).filter((id) => id !== null),
        );
      for await (const { prepared, ids, step } of walkPages(list, list.walk.start(), {
        ...fetch,
        prepare,
        recall,
      })) {
        await look(prepared.rows);
        this.#unreadable += prepared.bad.length;
        await keepSeenIds(prisma, lease, list.id, step.met ?? (list.walk.memory === 'walk' ? [] : ids));
        if (step.end?.kind === 'gave_up') return { code: 'walk_gave_up', message: step.end.reason };
      }
    }
    return null;
  }

  async #look(rows: readonly Row[]): Promise<void> {
    const { parts, lease } = this.#run;
    const met = await readSeenIds(
      parts.prisma,
      lease,
      MET,
      rows.map(({ id }) => id),
    );
    const fresh = rows.filter(({ id }) => !met.has(id));
    const sampled = fresh.filter(({ id }) => isSampled(id, this.#job.sample)).map(({ id }) => id);
    const distinct = new Set(fresh.map(({ id }) => id));
    this.#upstreamRows += distinct.size;
    this.#comparedRows += new Set(sampled).size;
    await keepSeenIds(parts.prisma, lease, MET, [...distinct]);
    const times = new Map(fresh.map((row) => [row.id, latestTime(row)]));
    const since = this.#startedAt;
    for (const difference of await this.#compareRows(fresh, sampled, since)) {
      const { id, is_fresh } = difference;
      const at = times.get(id) ?? null;
      const found = foundIn(difference, since);
      if (is_fresh || at === null || at >= this.#certainBefore) this.#doubt(id, found);
      else this.#findings.set(id, found);
    }
    this.#job.onProgress?.(this.#upstreamRows);
  }

  get #startedAt(): Date {
    return this.#run.lease.checkpoint.startedAt;
  }

  #compareRows(
    rows: readonly Row[],
    byContent: readonly string[] | null,
    since: Date,
  ): Promise<readonly RowDifference[]> {
    const { parts, lease } = this.#run;
    const { connectionId } = lease;
    return compareRows(parts.prisma, { connectionId, table: this.#job.stream.table, rows, byContent, since });
  }

  #doubt(id: string, found: Found): void {
    this.#findings.set(id, found);
    this.#doubted.add(id);
  }

  /**
   * Up to when the mirror claims to hold everything, by the upstream's own clock where a watermark tells, and less the lookback where rows may still be
   * listed late. Where none tells, by the last complete pass: clocks differ, so with a margin.
   */
  async #readCertainTime(): Promise<number> {
    const { prisma, lookbackMs } = this.#run.parts;
    const progress = await readProgress(prisma, this.#run.lease, 'incremental');
    const times = Object.keys(progress.watermark ?? {}).map((list) => stopBefore(progress, list, lookbackMs) ?? 0);
    if (times.length > 0) return Math.min(...times);
    const asOf = await readAsOf(prisma, this.#run.lease);
    return asOf === null ? 0 : asOf.getTime() - Math.max(lookbackMs, MARGIN_MS);
  }

  /** Alive in the mirror, and shown by no list. */
  async #extras(): Promise<readonly MirroredRow[]> {
    const { parts } = this.#run;
    const found: MirroredRow[] = [];
    for (let after = ''; ; ) {
      const rows = await readSuspects(parts.prisma, this.#suspects(), { after, limit: 1000 });
      const last = rows.at(-1);
      if (last === undefined) return found;
      found.push(...rows);
      after = last.id;
    }
  }

  #suspects(): SuspectQuery {
    const { lease } = this.#run;
    return { key: lease, table: this.#job.stream.table, before: lease.checkpoint.startedAt };
  }

  /** The findings once more, after what changed meanwhile was brought; the lists count anew, under names of their own. */
  async #lookAgain(lists: readonly List[]): Promise<VerifyReport['error']> {
    const chosen = new Set(this.#job.repair ? this.#findings.keys() : this.#doubted);
    const refreshedAt = this.#upstreamTime === 0 ? this.#run.parts.clock.now() : this.#upstreamTime;
    await this.#job.refresh();
    // That time is a second early. What was written before this verify began is no excuse.
    const refreshed = this.#run.databaseTime(performance.now());
    const since = new Date(Math.max(refreshed.getTime(), this.#startedAt.getTime()));
    const again = lists.map((list): List => ({ ...list, id: `again.${list.id}` }));
    for (const [id, { kind }] of this.#findings) {
      if (kind !== 'extra' && this.#doubted.has(id)) this.#findings.delete(id);
    }
    const unfinished = await this.#walk(again, async (rows) => {
      const looked = rows.filter(({ id }) => chosen.has(id));
      const changed = new Set(looked.filter((row) => (latestTime(row) ?? 0) >= refreshedAt).map(({ id }) => id));
      for (const difference of await this.#compareRows(looked, null, since)) {
        const { id, is_fresh } = difference;
        if (is_fresh || changed.has(id)) this.#findings.delete(id);
        else this.#findings.set(id, foundIn(difference, since));
      }
      if (this.#job.repair) await this.#rewrite(looked, new Set(this.#findings.keys()));
    });
    if (unfinished !== null) return unfinished;
    return this.#judgeExtras();
  }

  /** Takes back findings whose rows the mirror has written since they were compared. What this verify wrote itself stays. */
  async #settle(): Promise<void> {
    const { parts, lease } = this.#run;
    const compared = [...this.#findings].filter(([id, { kind }]) => kind !== 'extra' && !this.#rewritten.has(id));
    for (const since of new Set(compared.map(([, found]) => found.since))) {
      const ids = compared.filter(([, found]) => found.since === since).map(([id]) => id);
      const { connectionId } = lease;
      const written = await writtenSince(parts.prisma, { connectionId, table: this.#job.stream.table, ids, since });
      for (const id of written) this.#findings.delete(id);
    }
  }

  /** From the list form, whatever version the mirror holds: a wrong date must not protect a wrong row. */
  async #rewrite(rows: readonly Row[], ids: ReadonlySet<string>): Promise<void> {
    const chosen = rows.filter(({ id }) => ids.has(id));
    if (chosen.length === 0) return;
    const { table } = this.#job.stream;
    const page = encodePage({ table, rows: chosen, bad: [], replaceWrittenBefore: null, isForced: true });
    await this.#run.write(page, () => ({ checkpoint: NO_PROGRESS, end: null }));
    for (const { id } of chosen) this.#rewritten.add(id);
    this.#repaired = this.#rewritten.size;
  }

  /**
   * What came back is no finding any more; what two walks have missed is extra, unless the upstream, asked by id, has it in no list. Marked as deleted only
   * under the conditions of a reconcile: the brake, and no records without an id that might be the missing ones.
   */
  async #judgeExtras(): Promise<VerifyReport['error']> {
    const { parts, lease } = this.#run;
    const { table, name } = this.#job.stream;
    let extras = await this.#extras();
    const vanishing = await readVanishing(parts.prisma, lease, table);
    const isBraked = brakeHolds({ ...vanishing, suspects: extras.length, deleteBrake: parts.deleteBrake });
    let isAsked = false;
    if (!isBraked) {
      const asked = await this.#askById(extras);
      isAsked = asked !== null;
      extras = asked ?? extras;
    }
    const still = new Set(extras.map(({ id }) => id));
    for (const [id, { kind }] of this.#findings) if (kind === 'extra' && !still.has(id)) this.#findings.delete(id);
    if (!this.#job.repair || extras.length === 0) return null;
    // An empty answer proves nothing, however few rows it would cost.
    if (this.#upstreamRows === 0 && !(await isEmptinessAccepted(parts.prisma, lease))) {
      const { code, message } = suddenlyEmpty(name, vanishing.alive);
      return { code, message };
    }
    if (isBraked && !(await isAccepted(parts.prisma, lease))) {
      const message = `${extras.length} rows of ${name} are not in the upstream any more, more than SYNC_DELETE_BRAKE (${parts.deleteBrake}) allows to be marked; look at the upstream, and let a reconcile find them`;
      return { code: 'deletion_brake', message };
    }
    if (this.#unreadable > 0 && !isAsked) {
      const message = `${extras.length} rows were in no list, but there were records without an id, which may be them; none was marked as deleted`;
      return { code: 'deletions_unconfirmed', message };
    }
    const { deleted } = this.#run.counts;
    const { startedAt: before } = lease.checkpoint;
    const tombstones = { table, before, ids: [...still] };
    await this.#run.write(null, () => ({ tombstones, checkpoint: NO_PROGRESS, end: null }));
    this.#repaired += this.#run.counts.deleted - deleted;
    return null;
  }

  /** Those that the upstream does not have, asked one by one; null where it cannot be asked. */
  async #askById(extras: readonly MirroredRow[]): Promise<readonly MirroredRow[] | null> {
    const { exists } = this.#job.stream.deletions ?? {};
    if (exists === undefined || extras.length === 0) return null;
    if (!(await canBeAsked(this.#run, this.#suspects(), exists))) return null;
    const gone: MirroredRow[] = [];
    for (const row of extras) if ((await exists(row, this.#run.fetch)) !== true) gone.push(row);
    return gone;
  }
}

interface Found {
  readonly kind: FindingKind;
  readonly fields: readonly string[];
  /** The mirror's row had not been written since then when it was compared, by the database's clock. */
  readonly since: Date;
}

/** No more names than a person reads. */
const NAMED = 20;

/** A column that has the name of a field is not named twice. */
function foundIn({ kind, fields, columns }: RowDifference, since: Date): Found {
  const plain = (name: string) => (isPlainName(name) ? name : ODD_NAME);
  const told = new Set(fields.map((name) => name.replace(/([a-z\d])([A-Z])/g, '$1_$2').toLowerCase()));
  const names = [...fields.map(plain), ...columns.filter((name) => !told.has(name))];
  return { kind, fields: [...new Set(names)].slice(0, NAMED), since };
}

/** All ids of the first walk, whatever list showed them: an object in two lists is one object. */
const MET = '@met';

/** For upstreams whose clock, or whose lists, lag behind ours. */
const MARGIN_MS = 10 * 60_000;

const NO_PROGRESS = { cursor: null } as const;

/** When a row last changed as far as it tells, ms; null when it does not. */
function latestTime({ updated_at, created_at }: Row): number | null {
  const times = [updated_at, created_at].flatMap((at) => (typeof at === 'string' ? [Date.parse(at)] : []));
  return times.length === 0 ? null : Math.max(...times);
}

/** The same rows in every verify with this share, and more of them with a larger one. */
function isSampled(id: string, share: number): boolean {
  if (share >= 1) return true;
  return createHash('md5').update(id).digest().readUInt32BE(0) / 2 ** 32 < share;
}
