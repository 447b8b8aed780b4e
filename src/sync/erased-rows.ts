import { keepLeftOut } from '../store/engine/count-checks.ts';
import { readSeenWithoutRow } from '../store/mirror/seen-ids.ts';
import { noteErased } from '../store/mirror/tombstones.ts';
import { rowMark } from '../store/privacy/marks.ts';
import { suspectsOf } from './deletion-guard.ts';
import type { Run } from './run-pass.ts';

/** At the end of a clean full sync: which rows of erased persons the upstream still has, for the next count checks. */
export async function noteErasedRows(run: Run): Promise<void> {
  const { parts, lease, job, suppressions } = run;
  await noteErased(parts.prisma, suspectsOf(run));
  const ids = suppressions.isEmpty ? [] : await readSeenWithoutRow(parts.prisma, lease, job.stream.table);
  const marks = ids.map((id) => rowMark(job.stream.name, id)).filter((mark) => suppressions.has(mark));
  const createdAt = await suppressions.createdAtOf(marks);
  await keepLeftOut(
    parts.prisma,
    lease,
    createdAt.flatMap((at) => at ?? []),
  );
}
