import { PrivacyError } from '../../errors.ts';
import { groupBy } from '../../group-by.ts';
import { databaseNow } from '../../store/database-time.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { selectBatches } from '../../store/mirror/select-rows.ts';
import type { Counts } from '../../store/privacy/erasure-log.ts';
import { lastDigest, readJournal } from '../../store/privacy/journal.ts';
import { hashMark, rowMark } from '../../store/privacy/marks.ts';
import { findAll } from './closure.ts';
import { type ErasureReport, erase } from './erase.ts';
import { changePlanned } from './erase-rows.ts';
import { emptyPlan, type PlannedRow } from './erasure-plan.ts';
import type { PlanParts } from './plan.ts';
import { type ErasureParts, keyOf, moveEpoch, note, RECORD_MS, record, suppressAll } from './record-erasure.ts';

/** Erasures that are known by their hashes only: ends one, or repeats those of the journal. */
const CHUNK = 5_000;

/** An account and a hash, as one text. */
const nameOf = (connection: string, hash: Uint8Array): string =>
  `${connection} ${Buffer.from(hash).toString('base64')}`;

/** The rows whose marks are among these hashes. */
async function readNamed(
  { prisma, targets }: PlanParts,
  { key, hashes, isErased }: { readonly key: Buffer; readonly hashes: ReadonlySet<string>; readonly isErased: boolean },
): Promise<PlannedRow[]> {
  const named: PlannedRow[] = [];
  for (const { connectionId, stream } of targets) {
    const batches = selectBatches<{ id: string; keys: string[] }>(prisma, stream.table, {
      select: { id: 'id', keys: { texts: stream.table.personal?.keys ?? [] } },
      where: { connection_id: connectionId, erased_at: isErased ? { not: null } : null },
      limit: CHUNK,
    });
    for await (const rows of batches) {
      for (const { id, keys } of rows) {
        if (!hashes.has(nameOf(connectionId, hashMark(key, rowMark(stream.name, id))))) continue;
        named.push({ connectionId, stream: stream.name, id, createdAt: null, keys });
      }
    }
  }
  return named;
}

/** Ends the suppressions of an erasure: the next full sync writes what the upstream still has. */
export async function lift(parts: ErasureParts, id: string): Promise<{ readonly freed: number }> {
  const { prisma } = parts;
  const mine = await prisma.syncSuppression.findMany({ where: { erasure_id: id } });
  if (mine.length === 0) {
    const message = `there is no erasure ${id} that could be lifted; sync.erasures lists them all`;
    throw new PrivacyError('erasure_unfinished', message);
  }
  const { key, sealed } = await keyOf(parts);
  await prisma.$transaction(async (tx) => {
    const known = await moveEpoch(tx);
    await tx.syncSuppression.deleteMany({ where: { erasure_id: id } });
    await tx.syncErasure.update({ where: { id }, data: { state: 'lifted' } });
    await note(tx, parts, { known, sealed, entry: { lifted: id, at: (await databaseNow(tx)).toISOString() } });
  });
  const hashes = new Set(mine.map(({ connection_id, hash }) => nameOf(connection_id, hash)));
  // What another erasure still suppresses stays as it is.
  const others = await prisma.syncSuppression.findMany({ where: { hash: { in: mine.map(({ hash }) => hash) } } });
  for (const { connection_id, hash } of others) hashes.delete(nameOf(connection_id, hash));
  let freed = 0;
  const onChanged = (counts: Counts) => {
    for (const count of Object.values(counts)) freed += count;
  };
  await changePlanned(parts, await readNamed(parts, { key, hashes, isErased: true }), { change: 'free', onChanged });
  return { freed };
}

/** Repeats in a restored database what the journal has. @throws PrivacyError when the file is no journal of it */
export async function replay(parts: ErasureParts): Promise<readonly ErasureReport[]> {
  const { prisma, targets } = parts;
  const journal = await readJournal(parts.journal);
  if (journal === null) {
    const message = `there is no journal of erasures at ${parts.journal}; give the file that PRIVACY_JOURNAL named`;
    throw new PrivacyError('journal_unusable', message);
  }
  const { key } = await keyOf(parts);
  const lifted = new Set(journal.entries.flatMap((entry) => ('lifted' in entry ? [entry.lifted] : [])));
  const entries = journal.entries.flatMap((entry) => ('lifted' in entry || lifted.has(entry.erasure) ? [] : [entry]));
  await prisma.$transaction(
    async (tx) => {
      await moveEpoch(tx);
      for (const { erasure: id, at, reason, hashes } of entries) {
        const row = { id, reason, actor: leaseOwner, state: 'erasing', requested_at: new Date(at) };
        await tx.syncErasure.upsert({ where: { id }, create: row, update: {} });
        await suppressAll(tx, id, hashes);
      }
      await tx.syncSuppression.deleteMany({ where: { erasure_id: { in: [...lifted] } } });
    },
    { timeout: RECORD_MS },
  );
  const reports: ErasureReport[] = [];
  for (const [id, lines] of groupBy(entries, ({ erasure }) => erasure)) {
    const hashes = new Set(lines.flatMap((line) => line.hashes.map(({ connection, hash }) => `${connection} ${hash}`)));
    const rows = await readNamed(parts, { key, hashes, isErased: false });
    const { at = 0, reason = 'request', deletes: deletesRows = false } = lines[0] ?? {};
    const requestedAt = new Date(at);
    const alsoFuture = lines.some((line) => line.hashes.some(({ until }) => until === null));
    const taken = emptyPlan([...new Set(targets.map(({ connectionId }) => connectionId))]);
    const until = alsoFuture ? null : requestedAt;
    const plan = await findAll(prisma, targets, { select: { rows }, taken, until });
    const erasure = { id, reason, reference: null, alsoFuture, deletesRows, requestedAt, isRepeated: true };
    await record(parts, erasure, plan);
    reports.push(await erase(parts, erasure, plan));
  }
  // Only now may runs begin.
  const known = { journal_id: journal.head.journal, journal_hash: lastDigest(journal) };
  await prisma.syncPrivacy.update({ where: { id: 1 }, data: known });
  return reports;
}
