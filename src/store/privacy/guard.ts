import { setTimeout as delay } from 'node:timers/promises';
import { PrivacyError } from '../../errors.ts';
import type { PrismaClient, SyncPrivacy } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { type Journal, journalStamp, lastDigest, readJournal } from './journal.ts';
import { readPrivacySecret } from './key.ts';
import { suppressionKey } from './marks.ts';
import { readErasedTexts, readHashes, StoredSuppressions, type Suppressions } from './suppressions.ts';

export interface PrivacySettings {
  /** LEADMIRROR_SECRET_KEY */
  readonly secretKey: string | null;
  /** PRIVACY_JOURNAL */
  readonly journal: string | null;
  /** PRIVACY_UPSTREAM_DELETED */
  readonly upstreamDeletedDays?: number | null;
}

/** What every writer of rows asks before it begins. */
export interface PrivacyGuard {
  /**
   * What the account must not bring back. `epoch`: that of the checkpoint, read before.
   * @throws PrivacyError while the database lacks erasures that the journal has, or the key is lost
   */
  load(connectionId: string, epoch: bigint): Promise<Suppressions>;
}

export interface PrivacyWatch {
  /** Why nothing is written now: what `load` would throw, without waiting. Null: nothing is missing. */
  problem(): Promise<PrivacyError | null>;
}

/** An erasure writes its line before it commits: so long the journal may be ahead. */
const AHEAD_MS = 10_000;
const POLL_MS = 250;

export function createPrivacyGuard(prisma: PrismaClient, settings: PrivacySettings): PrivacyGuard & PrivacyWatch {
  const kept = new Map<string, { readonly epoch: bigint; readonly list: StoredSuppressions }>();
  let checked = '';

  async function look(): Promise<{ readonly problem: PrivacyError | null; readonly mayPass: boolean }> {
    const state = await prisma.syncPrivacy.findUniqueOrThrow({ where: { id: 1 } });
    const stamp = `${settings.journal === null ? 'none' : await journalStamp(settings.journal)} ${state.journal_hash}`;
    if (stamp === checked) return { problem: null, mayPass: false };
    const problem = whatIsMissing(settings.journal === null ? null : await readJournal(settings.journal), state);
    if (problem === null) checked = stamp;
    return { problem, mayPass: problem?.code === 'erasures_missing' && state.journal_id !== null };
  }

  async function assertComplete(): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      const { problem, mayPass } = await look();
      if (problem === null) return;
      if (!mayPass || waitedMs >= AHEAD_MS) throw problem;
      await delay(POLL_MS);
    }
  }

  let aheadSince: number | null = null;
  async function findProblem(): Promise<PrivacyError | null> {
    const { problem, mayPass } = await look();
    if (!mayPass) aheadSince = null;
    else aheadSince ??= performance.now();
    return aheadSince !== null && performance.now() - aheadSince < AHEAD_MS ? null : problem;
  }

  return {
    problem: () =>
      findProblem().catch((error: unknown) => {
        if (error instanceof PrivacyError) return error;
        throw error;
      }),
    async load(connectionId, epoch) {
      await assertComplete();
      const known = kept.get(connectionId);
      const list = known?.epoch === epoch ? known.list : await readList(connectionId);
      const days = settings.upstreamDeletedDays ?? null;
      list.readAt = await databaseNow(prisma);
      list.goneBefore = days === null ? null : addMs(list.readAt, -days * 86_400_000);
      kept.set(connectionId, { epoch, list });
      return list;
    },
  };

  async function readList(connectionId: string): Promise<StoredSuppressions> {
    const hashes = await readHashes(prisma, connectionId);
    const erasedTexts = await readErasedTexts(prisma, connectionId);
    const secret = hashes.length === 0 ? null : await readPrivacySecret(prisma, settings.secretKey);
    if (hashes.length > 0 && secret === null) throw new PrivacyError('privacy_key_missing', KEY_GONE);
    const key = suppressionKey(secret ?? Buffer.alloc(32));
    return new StoredSuppressions(prisma, { connectionId, key, hashes, erasedTexts });
  }
}

const KEY_GONE =
  'persons were erased here, and the key that keeps them from coming back is no longer in sync.secrets; nothing is written. Restore that row, or bring the key back from the journal: leadmirror forget --replay <journal>';

/** Null: the database has all that the journal has. */
export function whatIsMissing(journal: Journal | null, state: SyncPrivacy): PrivacyError | null {
  const { journal_id: id, journal_hash: hash } = state;
  if (id === null && (journal === null || journal.entries.length === 0)) return null;
  const isKnown = journal !== null && (id === null || (journal.head.journal === id && knows(journal, hash ?? id)));
  if (!isKnown) return new PrivacyError('erasures_journal_missing', JOURNAL_MISSING);
  return id !== null && lastDigest(journal) === hash ? null : new PrivacyError('erasures_missing', ERASURES_MISSING);
}

const knows = ({ head, digests }: Journal, hash: string): boolean => head.journal === hash || digests.includes(hash);

const JOURNAL_MISSING =
  'persons were erased here, and PRIVACY_JOURNAL does not name the journal of these erasures, so it is not known whether any is missing; nothing is written. Let PRIVACY_JOURNAL name that file, for every process';
const ERASURES_MISSING =
  'the journal of erasures is ahead of the database, as after a restored backup; nothing is written until they are repeated: leadmirror forget --replay <journal>';
