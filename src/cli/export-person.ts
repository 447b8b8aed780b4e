import { lstat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { erasureTargets } from '../app/erase-person.ts';
import type { App } from '../app.ts';
import { policyOf } from '../config.ts';
import { listStreams } from '../store/engine/streams.ts';
import type { FieldPolicy } from '../stream.ts';
import type { ErasureTarget } from '../sync/privacy/erasure-plan.ts';
import { exportPerson as readPerson } from '../sync/privacy/export-person.ts';
import { type CommandProcess, runOnApp, UsageError, writeOutput } from './command.ts';
import { counted } from './format.ts';
import { assertOneAccount, connectionsOf, countLines, type PersonFlags, readSelectors } from './person.ts';

export interface ExportFlags extends PersonFlags {
  /** A file that does not exist yet, or `-`. */
  readonly output?: string;
  readonly json?: boolean;
}

/** Writes everything that the mirror holds of a person into one file that only its owner can read. */
export async function exportPerson(options: ExportFlags, proc: CommandProcess): Promise<void> {
  await runOnApp({ json: options.json, proc }, async (app, { printResult }) => {
    const selectors = readSelectors(options);
    const targets = await erasureTargets(app);
    const connectionIds = connectionsOf(targets, options);
    const isPrinted = options.output === '-';
    const file = isPrinted ? null : resolve(proc.cwd(), options.output ?? fileName(app.clock.now()));
    if (file !== null) await assertNew(file);
    const unread = await unreadStreams(app, targets, connectionIds);
    const found = await readPerson(
      { prisma: app.database.prisma, targets },
      { connectionIds, selectors, facts: { unread, settings: settingsOf(app) } },
    );
    if (found === null) throw new UsageError('Nothing in the mirror belongs to this person; nothing was exported');
    assertOneAccount(found.plan, options);
    const { document, counts, review } = found;
    if (file === null) {
      proc.stdout.write(document);
      return;
    }
    await writeOutput(file, document, '; nothing was exported. Name another file with --output', true);
    printResult({ file, matched: counts, review, unread }, () => [
      `Written to ${file}, which only you can read:`,
      ...countLines(counts),
      ...(unread.length === 0
        ? []
        : [`Not read, because this configuration does not have these streams: ${unread.join(', ')}`]),
      `Before you hand it over: the list "review" in it names ${counted(review, 'field')} that may be about another person.`,
      'Texts may name others in ways that no program recognises. Make sure that all of it belongs to one person.',
    ]);
  });
}

const fileName = (now: number): string => `person-${new Date(now).toISOString().replace(/[:.]/g, '-')}.json`;

/** Streams that the database has rows of and this configuration does not know the table of. */
async function unreadStreams(
  app: App,
  targets: readonly ErasureTarget[],
  connectionIds: readonly string[],
): Promise<string[]> {
  const known = new Set(targets.map(({ stream }) => stream.name));
  const all = await listStreams(app.database.prisma, 'all');
  const unread = all.filter(({ connectionId, stream }) => connectionIds.includes(connectionId) && !known.has(stream));
  return [...new Set(unread.map(({ stream }) => stream))];
}

/** Which settings decide what is stored of a person, and for how long. */
function settingsOf({ config }: App) {
  const { privacy, retention, history, connections } = config;
  const { policy, storeVisitorPii, storeLinks } = privacy;
  const described = ({ presets, fields }: FieldPolicy) => ({
    presets,
    fields: fields.map(({ stream, path, action }) => `${stream}.${path.join('.')}=${action}`),
  });
  const own = connections.filter(({ privacy }) => privacy !== undefined).map(({ id }) => id);
  return {
    ...described(policy),
    /** Accounts with a policy of their own. */
    accounts: Object.fromEntries(own.map((id) => [id, described(policyOf(config, id))])),
    store_visitor_pii: storeVisitorPii,
    store_links: storeLinks,
    upstream_deleted_days: retention.upstreamDeletedDays,
    quarantine_days: retention.quarantine,
    retention: retention.rules,
    visits_count: retention.visitsCount,
    history_months: history.months,
  };
}

/** @throws UsageError when something has this name, which might be readable by others */
async function assertNew(path: string): Promise<void> {
  if ((await lstat(path).catch(() => null)) === null) return;
  throw new UsageError(`${path} exists already; name a new file with --output, or - for the output of the command`);
}
