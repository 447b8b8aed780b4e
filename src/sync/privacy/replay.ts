import { PrivacyError } from '../../errors.ts';
import { groupBy } from '../../group-by.ts';
import { databaseNow } from '../../store/database-time.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { selectBatches } from '../../store/mirror/select-rows.ts';
import { lastDigest, readJournal } from '../../store/privacy/journal.ts';
import { hashMark, type Mark, rowMark } from '../../store/privacy/marks.ts';
import { readHashes, StoredSuppressions, type Suppressions } from '../../store/privacy/suppressions.ts';
import { Closure, emptyPlan } from './closure.ts';
import { change, type ErasureReport, erase } from './erase.ts';
import { namesOfOthers, type PlanParts } from './plan.ts';
import {
  type ErasureParts,
  keyOf,
  moveEpoch,
  note,
  openJournal,
  RECORD_MS,
  record,
  suppressAll,
} from './record-erasure.ts';

/** Erasures that are known by their hashes only: ends one, or repeats those of the journal. */
const CHUNK = 5_000;

/** Ids of an account's rows that the hashes name. */
async function* namedRows(
  { prisma, targets }: PlanParts,
  isNamed: (connectionId: string, mark: Mark) => boolean,
  isErased: boolean,
) {
  for (const { connectionId, stream } of targets) {
    const batches = selectBatches<{ id: string; keys: string[] }>(prisma, stream.table, {
      select: { id: 'id', keys: { texts: stream.table.personal?.keys ?? [] } },
      where: { connection_id: connectionId, erased_at: isErased ? { not: null } : null },
      limit: CHUNK,
    });
    for await (const rows of batches) {
      for (const { id, keys } of rows) {
        if (!isNamed(connectionId, rowMark(stream.name, id))) continue;
        yield { connectionId, stream: stream.name, id, createdAt: null, keys };
      }
    }
  }
}

/** Ends the suppressions of an erasure: the next full sync writes what the upstream still has. */
export async function lift(parts: ErasureParts, id: string): Promise<{ readonly freed: number }> {
  const { prisma, targets } = parts;
  const erasure = await prisma.syncErasure.findUnique({ where: { id } });
  const mine = await prisma.syncSuppression.findMany({ where: { erasure_id: id } });
  if (erasure === null || mine.length === 0) {
    throw new PrivacyError(
      'erasure_unfinished',
      `there is no erasure ${id} that could be lifted; sync.erasures lists them all`,
    );
  }
  const { key, sealed } = await keyOf(parts);
  const hashes = new Set(
    mine.map(({ connection_id, hash }) => `${connection_id} ${Buffer.from(hash).toString('base64')}`),
  );
  const isNamed = (connectionId: string, mark: Mark) =>
    hashes.has(`${connectionId} ${hashMark(key, mark).toString('base64')}`);
  const rows = [];
  for await (const row of namedRows(parts, isNamed, true)) rows.push(row);
  await prisma.$transaction(async (tx) => {
    const { epoch, ...known } = await moveEpoch(tx);
    const journal = await openJournal(parts, known, sealed);
    await tx.syncSuppression.deleteMany({ where: { erasure_id: id } });
    await tx.syncErasure.update({ where: { id }, data: { state: 'lifted' } });
    await tx.syncCheckpoint.updateMany({ data: { privacy_epoch: epoch } });
    await note(tx, parts, journal, { lifted: id, at: (await databaseNow(tx)).toISOString() });
  });
  // What another erasure still suppresses stays as it is.
  const others = new Map<string, Suppressions>();
  for (const connectionId of new Set(targets.map((target) => target.connectionId))) {
    const parts = { connectionId, key, hashes: await readHashes(prisma, connectionId) };
    others.set(connectionId, new StoredSuppressions(prisma, parts));
  }
  const free = rows.filter(({ connectionId, stream, id }) => !others.get(connectionId)?.has(rowMark(stream, id)));
  let freed = 0;
  const add = (_: string, count: number) => {
    freed += count;
  };
  await change(parts, { rows: free }, 'free', add);
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
      const { epoch } = await moveEpoch(tx);
      for (const { erasure: id, at, reason, hashes } of entries) {
        const row = { id, reason, actor: leaseOwner, state: 'erasing', requested_at: new Date(at) };
        await tx.syncErasure.upsert({ where: { id }, create: row, update: {} });
        await suppressAll(tx, id, hashes);
      }
      await tx.syncSuppression.deleteMany({ where: { erasure_id: { in: [...lifted] } } });
      await tx.syncCheckpoint.updateMany({ data: { privacy_epoch: epoch } });
    },
    { timeout: RECORD_MS },
  );
  const reports: ErasureReport[] = [];
  for (const [id, lines] of groupBy(entries, ({ erasure }) => erasure)) {
    const hashes = new Set(lines.flatMap((line) => line.hashes.map(({ connection, hash }) => `${connection} ${hash}`)));
    const isNamed = (connectionId: string, mark: Mark) =>
      hashes.has(`${connectionId} ${hashMark(key, mark).toString('base64')}`);
    const rows = [];
    for await (const row of namedRows(parts, isNamed, false)) rows.push(row);
    const requestedAt = new Date(lines[0]?.at ?? 0);
    const isFuture = lines.some((line) => line.hashes.some(({ until }) => until === null));
    const connectionIds = [...new Set(targets.map((target) => target.connectionId))];
    const nothing = { leads: [], links: [], requests: [], emails: [], phones: [] };
    const until = isFuture ? null : requestedAt;
    const found = await new Closure(prisma, targets, { taken: emptyPlan(connectionIds), until })
      .select({ ...nothing, rows })
      .find();
    const shared = await namesOfOthers(parts, found);
    const plan = { ...found, names: found.names.filter((name) => !shared.has(name)) };
    const { reason = 'request', deletes = false } = lines[0] ?? {};
    const options = { reason, reference: null, alsoFuture: isFuture, deletesRows: deletes };
    const erasure = { ...options, id, requestedAt, isRepeated: true };
    await record(parts, erasure, plan);
    reports.push(await erase(parts, erasure, plan));
  }
  // Only now may runs begin.
  const known = { journal_id: journal.head.journal, journal_hash: lastDigest(journal) };
  await prisma.syncPrivacy.update({ where: { id: 1 }, data: known });
  return reports;
}
