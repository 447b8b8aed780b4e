import { counted } from '../counted.ts';
import {
  type CountKnowledge,
  type CountOffset,
  clearUnexplained,
  keepOffsets,
  noteUnexplained,
  sumOfOffsets,
} from '../store/engine/count-checks.ts';
import { WrongCount } from './counts.ts';
import type { Ending } from './ending.ts';
import type { Run } from './run-pass.ts';

export type Found =
  | { readonly kind: 'agrees' }
  /** Too much moved to compare. */
  | { readonly kind: 'moving' }
  /** What is left, as rows upstream less rows of the mirror. `canBeKept`: after a full sync, it may be expected. */
  | { readonly kind: 'differs'; readonly left: readonly CountOffset[]; readonly canBeKept: boolean }
  | { readonly kind: 'blocked'; readonly error: NonNullable<Ending['error']> };

/** How the run ends, and what is remembered. */
export async function conclude(
  run: Run,
  { unexplained, expired, offsets }: CountKnowledge,
  found: Found,
): Promise<Ending> {
  const { prisma } = run.parts;
  const { lease } = run;
  const { name } = run.job.stream;
  if (found.kind === 'blocked') return run.ending('partial', found.error);
  if (found.kind === 'moving') {
    const message = `rows of ${name} arrived or left while they were counted; the next count check looks again`;
    return run.ending('postponed', { code: 'counts_moving', message });
  }
  if (found.kind === 'differs') {
    const rows = sumOfOffsets(found.left);
    const canBeKept = found.canBeKept && found.left.every((each) => each.rows > 0 || each.erased !== undefined);
    if (!canBeKept && unexplained !== null && rows < 0 && rows === unexplained) throw new WrongCount();
    // A clean full sync since then explained it as little.
    const isSame = rows === unexplained || rows === expired;
    const isSettled = isSame || (unexplained !== null && found.left.every((each) => each.rows > 0));
    if (!isSettled || !canBeKept) {
      await noteUnexplained(prisma, lease, rows);
      const message = `the upstream counts ${counted(Math.abs(rows), 'row')} of ${name} ${rows < 0 ? 'fewer' : 'more'} than the mirror should have; the next full sync shows which, or now: leadmirror sync ${name} --pass reconcile`;
      return run.ending('partial', { code: 'counts_differ', message });
    }
    await keepOffsets(prisma, lease, [...offsets, ...found.left]);
  } else if (offsets.length === 0) await clearUnexplained(prisma, lease);
  const ending = { ...run.ending('succeeded'), isRecorded: true };
  await run.write(null, () => ({ checkpoint: { cursor: null, completed: true }, end: ending }));
  return ending;
}

export const unusable = (name: string) => ({
  code: 'counts_unusable',
  message: `the upstream's counts of ${name} cannot be used (not reported, not by creation time, or wrong); full syncs find what was deleted`,
});
