import type { AlertRow, RoundFacts } from '../store/engine/alerts.ts';
import type { AlertKey, AlertKind } from '../store/reports/alert-conditions.ts';

/**
 * What changes between two looks. Pure. A condition goes
 *
 *   (not there) ─seen─> pending ─lasted─> open ─not seen─> clearing ─lasted─> closed
 *                          └─not seen─> (not there)  └────seen again────┘
 *
 * and only `open` and `closed` are reported: a condition that flickers is reported once.
 */
export interface Decision {
  readonly upserts: readonly AlertRow[];
  readonly deletes: readonly AlertKey[];
  readonly opened: readonly AlertRow[];
  readonly closed: readonly AlertRow[];
}

interface DecideOptions {
  /** How long a condition has to last, or to be over, before it is reported. */
  readonly afterMs: number;
  /** After a longer pause between two looks, the time in between is unknown. */
  readonly maxGapMs: number;
}

/** Conditions that do not come and go by themselves, so they are reported at once. */
const AT_ONCE: ReadonlySet<AlertKind> = new Set(['deletion_brake', 'suddenly_empty', 'verify_differences']);

export function decide(facts: RoundFacts, options: DecideOptions): Decision {
  const { now, lastRoundAt, conditions } = facts;
  const rows = new Map(facts.rows.map((row) => [keyOf(row), row]));
  const isContinuous = lastRoundAt !== null && now.getTime() - lastRoundAt.getTime() <= options.maxGapMs;
  const hasLasted = ({ kind, seen_since }: AlertRow) =>
    now.getTime() - seen_since.getTime() >= (AT_ONCE.has(kind) ? 0 : options.afterMs);
  const upserts: AlertRow[] = [];
  const deletes: AlertKey[] = [];
  const opened: AlertRow[] = [];
  const closed: AlertRow[] = [];

  for (const condition of conditions) {
    const row = rows.get(keyOf(condition));
    rows.delete(keyOf(condition));
    if (row !== undefined && row.opened_at !== null && row.is_seen) continue;
    if (row?.opened_at != null) {
      upserts.push({ ...row, is_seen: true, seen_since: now });
      continue;
    }
    const isKnown = row !== undefined && isContinuous;
    const seen_since = isKnown ? row.seen_since : now;
    const pending: AlertRow = { ...condition, is_seen: true, seen_since, opened_at: null, closed_at: null };
    if (hasLasted(pending)) {
      const open = { ...pending, opened_at: now };
      opened.push(open);
      upserts.push(open);
    } else if (!isKnown) upserts.push(pending);
  }

  for (const row of rows.values()) {
    if (row.opened_at === null) {
      deletes.push({ connection_id: row.connection_id, stream: row.stream, kind: row.kind });
      continue;
    }
    const isKnown = !row.is_seen && isContinuous;
    const clearing: AlertRow = { ...row, is_seen: false, seen_since: isKnown ? row.seen_since : now };
    if (hasLasted(clearing)) {
      const over = { ...clearing, closed_at: now };
      closed.push(over);
      upserts.push(over);
    } else if (!isKnown) upserts.push(clearing);
  }
  return { upserts, deletes, opened, closed };
}

const keyOf = ({ connection_id, stream, kind }: AlertKey): string => JSON.stringify([connection_id, stream, kind]);
