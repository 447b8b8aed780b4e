import { counted } from '../counted.ts';
import { readAcceptance } from '../store/engine/deletions.ts';
import { countDeletedToday } from '../store/engine/runs.ts';
import { countAliveRows, readSeenRows, readSuspects, type SuspectQuery } from '../store/mirror/tombstones.ts';
import type { Deletions, MirroredRow } from '../stream.ts';
import { type Ending, suddenlyEmpty } from './ending.ts';
import type { Run } from './run-pass.ts';

export type Exists = NonNullable<Deletions['exists']>;

/** The rows that a full sync, or the windows that a count check read, did not show, and that no run wrote since. */
export const suspectsOf = ({ lease, job, scope }: Run): SuspectQuery => ({
  key: lease,
  table: job.stream.table,
  before: lease.checkpoint.startedAt,
  ...scope,
});

/** The suspects by id, some at a time. Those that are settled meanwhile do not turn up again. */
export async function* readAllSuspects(
  run: Run,
  limit: number,
): AsyncGenerator<readonly MirroredRow[], void, undefined> {
  for (let after = ''; ; ) {
    const suspects = await readSuspects(run.parts.prisma, suspectsOf(run), { after, limit });
    const last = suspects.at(-1);
    if (last === undefined) return;
    after = last.id;
    yield suspects;
  }
}

interface GuardedDeletions {
  readonly suspects: number;
  readonly isNothingShown?: boolean;
  /** Only the counts differ: no list was read. */
  readonly isCounted?: boolean;
}

/** Why so many rows may not be marked as deleted; null: they may, or a person accepted it. */
export async function guardDeletions(
  { parts, lease, job }: Run,
  { suspects, isNothingShown = false, isCounted = false }: GuardedDeletions,
): Promise<Ending['error']> {
  const { prisma, deletionLimit } = parts;
  const { table, name } = job.stream;
  const alive = await countAliveRows(prisma, lease.connectionId, table);
  // An empty response is no evidence, however few rows it would cost.
  if (isNothingShown && (await readAcceptance(prisma, lease)) !== 'suddenly_empty') {
    const { code, message } = suddenlyEmpty(name, alive);
    return { code, message };
  }
  const deletedToday = await countDeletedToday(prisma, lease);
  const vanished = suspects + deletedToday;
  // More than three rows and more than the allowed share, counted together with what was marked within the last day.
  const isOver = vanished > 3 && vanished > (alive + deletedToday) * deletionLimit;
  if (!isOver || (await readAcceptance(prisma, lease)) !== null) return null;
  const next =
    job.pass === 'verify'
      ? 'let a reconcile find them'
      : `if they are really gone, run: leadmirror accept-deletions ${name}`;
  const seen = isCounted
    ? `the upstream counts ${counted(suspects, 'row')} fewer than the ${alive} of ${name} in the mirror`
    : `${suspects} of ${counted(alive, 'row')} of ${name} were not in the upstream's list any more`;
  return {
    code: 'deletion_brake',
    message: `${seen}; that is more than SYNC_DELETE_BRAKE (${deletionLimit}) allows, so none was marked as deleted. Look at the upstream; ${next}`,
  };
}

export const unconfirmed = (suspects: number): NonNullable<Ending['error']> => ({
  code: 'deletions_unconfirmed',
  message: `the upstream's list is ${counted(suspects, 'row')} short, but it also contained records without an id, which may be them; none was marked as deleted`,
});

/** A server that does not know the request answers 404 to all: then a row that is surely there is "gone" too. */
export async function canBeAsked(run: Run, exists: Exists): Promise<boolean> {
  for (const row of await readSeenRows(run.parts.prisma, suspectsOf(run))) {
    const answer = await exists(row, run.fetch);
    if (answer !== null) return answer;
  }
  return false;
}
