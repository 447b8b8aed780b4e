import { databaseNow } from '../../store/database-time.ts';
import { countStoredRecords } from '../../store/mirror/reproject.ts';
import { selectBatches } from '../../store/mirror/select-rows.ts';
import { addCounts, type Counts, endErasure, openErasure } from '../../store/privacy/erasure-log.ts';
import type { PrivacyGuard } from '../../store/privacy/guard.ts';
import { rowMark } from '../../store/privacy/marks.ts';
import { readPrivacyEpoch } from '../../store/privacy/suppressions.ts';
import type { RetentionRule } from '../../stream.ts';
import { findAll } from './closure.ts';
import { type DueBatch, type DueParts, dueRows, newestContacts } from './due.ts';
import { type ChangeParts, changePlanned, removeRecords } from './erase-rows.ts';
import { countRows, type ErasurePlan, emptyPlan, type PlannedRow } from './erasure-plan.ts';
import { findTexts, removeTexts } from './remove-texts.ts';

/**
 * Applies the rules of retention. Rows are emptied and stay, as with `forget`: pages, repairs and retries leave an
 * emptied row alone, so nothing else has to remember it; after a restore the rule applies again. Each batch is
 * judged when it is its turn, and what refers to a row is emptied before it: a stop at any point leaves the rest due.
 */
export interface RetentionParts extends DueParts, ChangeParts {
  readonly privacy: PrivacyGuard;
  readonly rules: readonly RetentionRule[];
  /** A rule that is due for a greater share of a table is not applied, unless it is forced. */
  readonly share: number;
  /** Called behind each part of a table that was changed. */
  readonly onStep?: () => void;
}

export interface RuleReport extends RetentionRule {
  /** Rows of the stream that have been kept for long enough, of how many. */
  readonly due: number;
  readonly of: number;
  readonly isBlocked: boolean;
  /** Rows by table: what went, or would go. */
  readonly tables: Counts;
}

export interface RetentionReport {
  readonly rules: readonly RuleReport[];
  /** Persons who came back since their row was emptied: the next full sync writes it again. */
  readonly returned: number;
  /** The limit was reached before all was done. */
  readonly hasMore: boolean;
}

export interface RetentionOptions {
  readonly isDryRun?: boolean;
  readonly isForced?: boolean;
  /** Rows of all tables together; absent: no limit. */
  readonly limit?: number;
}

/** Fewer are never too many. */
const FEW = 100;

/** @throws PrivacyError while the database lacks erasures that the journal has */
export async function applyRetention(parts: RetentionParts, options: RetentionOptions = {}): Promise<RetentionReport> {
  const { prisma } = parts;
  const { isDryRun = false, isForced = false, limit = Number.POSITIVE_INFINITY } = options;
  const rules: RuleReport[] = [];
  let left = limit;
  let returned = 0;
  for (const rule of parts.rules) {
    let tables: Counts = {};
    const note = (counts: Counts) => {
      tables = addCounts(tables, counts);
      for (const count of Object.values(counts)) left -= count;
      if (!isDryRun && Object.keys(counts).length > 0) parts.onStep?.();
    };
    const apply = async (plan: ErasurePlan, batch: DueBatch | null) => {
      const isErased = rule.do === 'erase';
      if (isDryRun) return note(isErased ? countRows(plan) : await findTexts(parts, plan));
      if (plan.rows.length + plan.quarantine.length === 0) return;
      const erasure = await openErasure(prisma, REASON);
      if (!isErased && batch !== null) return removeTexts(parts, batch, plan, { erasure, onChanged: note });
      note(await removeRecords(prisma, plan, erasure));
      await changePlanned(parts, plan.rows, { change: 'empty', erasure, onChanged: note });
    };
    const husks = await referredHusks(parts, rule);
    returned += husks.reduce((sum, { back }) => sum + back.length, 0);
    if (!isDryRun) for (const { back } of husks) await changePlanned(parts, back, { change: 'free' });
    const { due, of } = await countDue(parts, rule);
    const isBlocked = !isForced && due > FEW && due > of * parts.share;
    for (const { target, late } of husks) {
      if (late.length > 0) await apply(await findReferring(parts, target, { taken: late }), null);
    }
    const isSkipped = due === 0 || (isBlocked && !isDryRun);
    for await (const batch of isSkipped ? [] : dueRows(parts, rule)) {
      if (left <= 0 && !isDryRun) break;
      await apply(await findReferring(parts, batch.target, { rows: batch.rows }), batch);
    }
    rules.push({ ...rule, due, of, isBlocked, tables });
  }
  if (!isDryRun) await endErasure(prisma, REASON);
  return { rules, returned, hasMore: left <= 0 && !isDryRun };
}

const REASON = 'retention';
const HUSKS = 1_000;

interface Referred extends Pick<DueBatch, 'target'> {
  /** Emptied rows of persons who were in contact since: the next full sync may write them. */
  readonly back: readonly PlannedRow[];
  /** Emptied rows to which only old ones refer, that were mirrored later. */
  readonly late: readonly PlannedRow[];
}

/** Without those on the list of what must not come back: `forget` takes care of these. */
async function referredHusks(parts: RetentionParts, rule: RetentionRule): Promise<Referred[]> {
  const { prisma, targets, privacy } = parts;
  if (rule.since !== 'last_contact' || rule.do !== 'erase') return [];
  const before = await databaseNow(prisma, rule.after);
  const epoch = await readPrivacyEpoch(prisma);
  const found: Referred[] = [];
  for (const target of targets.filter(({ stream }) => stream.name === rule.stream)) {
    const { connectionId, stream } = target;
    const list = await privacy.load(connectionId, epoch);
    const where = { connection_id: connectionId, erased_at: { not: null } };
    const back: PlannedRow[] = [];
    const late: PlannedRow[] = [];
    const husks = selectBatches<{ id: string }>(prisma, stream.table, { select: { id: 'id' }, where, limit: HUSKS });
    for await (const some of husks) {
      const rows = some.filter(({ id }) => !list.has(rowMark(stream.name, id))).map(({ id }) => ({ id, keys: [] }));
      for (const [id, at] of await newestContacts(parts, target, rows)) {
        const row = { connectionId, stream: stream.name, id, createdAt: null, keys: [] };
        (at >= before.getTime() ? back : late).push(row);
      }
    }
    found.push({ target, back, late });
  }
  return found;
}

async function countDue(parts: RetentionParts, rule: RetentionRule): Promise<{ due: number; of: number }> {
  let due = 0;
  for await (const { rows } of dueRows(parts, rule)) due += rows.length;
  let of = 0;
  for (const { connectionId, stream } of parts.targets.filter((target) => target.stream.name === rule.stream)) {
    of += await countStoredRecords(parts.prisma, { connectionId, table: stream.table });
  }
  return { due, of };
}

/** These rows and all that refers to them, by id; `taken`: rows that are empty already. */
function findReferring(
  { prisma, targets }: RetentionParts,
  { connectionId, stream: { name, table } }: DueBatch['target'],
  { rows = [], taken = [] }: { readonly rows?: DueBatch['rows']; readonly taken?: readonly PlannedRow[] },
): Promise<ErasurePlan> {
  const connections = targets
    .filter((other) => other.connectionId === connectionId || other.stream.table.schema !== table.schema)
    .map((other) => other.connectionId);
  const select = { rows: rows.map(({ id }) => ({ connectionId, stream: name, id })) };
  return findAll(prisma, targets, { select, taken: emptyPlan([...new Set(connections)], taken), byIdOnly: true });
}
