import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { counted } from '../../counted.ts';
import { PrivacyError } from '../../errors.ts';
import { databaseNow } from '../../store/database-time.ts';
import { tableName } from '../../store/mirror/table-sql.ts';
import type { Counts } from '../../store/privacy/erasure-log.ts';
import { unseal } from '../../store/privacy/key.ts';
import { vacuum } from '../../store/privacy/person-rows.ts';
import { findAll } from './closure.ts';
import { changePlanned, removeRecords } from './erase-rows.ts';
import { countRows, type ErasurePlan, joinPlans } from './erasure-plan.ts';
import { search } from './plan.ts';
import { type Erasure, type ErasureOptions, type ErasureParts, type Kept, record } from './record-erasure.ts';

/**
 * Erases a person, and keeps it so. In this order, so that a stop at any point leaves nothing half done unsaid:
 *
 *   plan ─> one transaction: erasure, hashes, epoch, line of the journal ─> quarantine, rows ─> plan again, until
 *   nothing is found ─> reports ─> search ─> done, or residue
 *
 * Behind the transaction no run writes what it prepared before. The plan is kept, encrypted, so that `resume` goes on.
 */
export interface ErasureReport {
  readonly erasure: string;
  readonly state: 'done' | 'residue';
  readonly matched: Counts;
  /** Also of earlier tries that were stopped. */
  readonly erased: Counts;
  readonly residue: Counts;
  /** The first of these rows that the mirror has, as `stream:id`. */
  readonly found: readonly string[];
  /** False: this database user may not vacuum, so the old versions of the rows stay in the files for a while. */
  readonly isVacuumed: boolean;
}

/** @throws PrivacyError when the erasure cannot be recorded, and nothing is changed */
export async function erasePerson(
  parts: ErasureParts,
  plan: ErasurePlan,
  options: ErasureOptions,
): Promise<ErasureReport> {
  const requestedAt = await databaseNow(parts.prisma);
  assertClock(parts.clock, requestedAt);
  const erasure = { ...options, id: randomUUID(), requestedAt };
  await record(parts, erasure, plan);
  await parts.onStep?.('recorded');
  return erase(parts, erasure, plan);
}

const CLOCKS_MS = 600_000;

/** The time decides what counts as written before the erasure, for ever. @throws PrivacyError */
function assertClock(clock: Clock, databaseTime: Date): void {
  const minutes = Math.round(Math.abs(clock.now() - databaseTime.getTime()) / 60_000);
  if (minutes * 60_000 <= CLOCKS_MS) return;
  const message = `the clocks of this machine and of the database differ by ${counted(minutes, 'minute')}, so it is not sure what was written before now; nothing was erased. Set them right, then repeat the command`;
  throw new PrivacyError('clocks_differ', message);
}

/** Goes on with an erasure that was stopped. @throws PrivacyError when there is none of this id */
export async function resume(parts: ErasureParts, id: string): Promise<ErasureReport> {
  const row = await parts.prisma.syncErasure.findUnique({ where: { id } });
  const kept = row?.plan == null ? null : await unseal<Kept>(parts.secretKey, row.plan);
  if (row === null || kept === null) {
    const message = `there is no unfinished erasure ${id}; sync.erasures lists them all`;
    throw new PrivacyError('erasure_unfinished', message);
  }
  return erase(parts, { ...kept.options, id, requestedAt: row.requested_at }, kept.plan);
}

/** More rounds than a page under way can need; each takes what was written before the epoch moved. */
const ROUNDS = 10;

export async function erase(parts: ErasureParts, erasure: Erasure, first: ErasurePlan): Promise<ErasureReport> {
  const { prisma, targets } = parts;
  const { id } = erasure;
  const until = erasure.alsoFuture ? null : erasure.requestedAt;
  let plan = first;
  for (let round = 1, next = plan; ; round += 1) {
    // Texts in quarantine first: their retry locks them before it writes.
    await removeRecords(prisma, next, id);
    await parts.onStep?.('quarantine');
    await changePlanned(parts, next.rows, { change: 'empty', erasure: id });
    next = await findAll(prisma, targets, { taken: plan, until });
    if (next.rows.length + next.quarantine.length === 0 || round === ROUNDS) break;
    plan = joinPlans(plan, next);
    await record(parts, erasure, plan);
  }
  await parts.onStep?.('rows');
  await refresh(parts, false);
  await parts.onStep?.('reports');
  // Emptied before, so that reports and the feed know of it.
  const tables = new Map(targets.map(({ stream }) => [stream.name, stream.table]));
  const isDeleted = (name: string) => erasure.deletesRows || tables.get(name)?.personal?.isDeleted === true;
  const deleted = plan.rows.filter(({ stream }) => isDeleted(stream));
  await changePlanned(parts, deleted, { change: 'delete' });
  // Reports of the past know them by their versions.
  if (deleted.length > 0) await refresh(parts, false);
  let residue = await search(parts, plan, []);
  if (Object.keys(residue.counts).some((table) => table.startsWith('reporting.'))) {
    // Of rows that were deleted by hand only a full refresh knows.
    await refresh(parts, true);
    residue = await search(parts, plan, []);
  }
  const emptied = new Set(plan.rows.flatMap(({ stream }) => tables.get(stream) ?? []));
  const isVacuumed = await vacuum(prisma, [...[...emptied].map(tableName), 'sync.quarantine']);
  await parts.onStep?.('searched');
  const state = Object.keys(residue.counts).length === 0 ? ('done' as const) : ('residue' as const);
  const ended_at = await databaseNow(prisma);
  const { counts } = await prisma.syncErasure.update({
    where: { id },
    data: { state, ended_at, residue: { ...residue.counts }, plan: null },
  });
  const found = { residue: residue.counts, found: residue.rows };
  return { erasure: id, state, matched: countRows(plan), erased: counts as Counts, ...found, isVacuumed };
}

const POLL_MS = 250;

/** A refresh under way has read the rows as they were: it is waited for. */
async function refresh({ refresh, clock, signal }: ErasureParts, isFull: boolean): Promise<void> {
  while (!(await refresh({ isFull }))) await clock.sleep(POLL_MS, signal);
}
