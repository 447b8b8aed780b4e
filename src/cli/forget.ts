import { resolve } from 'node:path';
import { erasureParts, erasureTargets } from '../app/erase-person.ts';
import type { App } from '../app.ts';
import { countStoredRecords } from '../store/mirror/reproject.ts';
import { type ErasureReport, erasePerson, resume } from '../sync/privacy/erase.ts';
import type { ErasureTarget } from '../sync/privacy/erasure-plan.ts';
import { type PlannedErasure, planErasure } from '../sync/privacy/plan.ts';
import { lift, replay } from '../sync/privacy/replay.ts';
import { type CommandContext, type CommandProcess, runOnApp, UsageError } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { counted } from './format.ts';
import { assertOneAccount, connectionsOf, countLines, type PersonFlags, readSelectors } from './person.ts';

export interface ErasureFlags extends PersonFlags {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly alsoFuture?: boolean;
  readonly deleteRows?: boolean;
  readonly reason?: string;
  readonly reference?: string;
  readonly resume?: string;
  readonly replay?: string;
  readonly lift?: string;
  readonly json?: boolean;
}

/** Erases a person, or shows what that would take; after a restore, all persons that were erased. */
export async function forget(options: ErasureFlags, proc: CommandProcess): Promise<void> {
  await runOnApp({ json: options.json, proc }, async (app, context) => {
    if (options.replay !== undefined) return replayJournal(app, context, options.replay);
    if (options.lift !== undefined) return liftErasure(app, context, options.lift);
    if (options.resume === undefined) return eraseSelected(app, context, options);
    assertErasureId(options.resume);
    const report = await resume(await erasureParts(app, context), options.resume);
    return showReport(context, report);
  });
}

async function eraseSelected(app: App, context: CommandContext, options: ErasureFlags): Promise<ExitCode> {
  const selectors = readSelectors(options);
  const isTerminal = context.proc.stdout.isTTY === true;
  if (options.yes !== true && options.dryRun !== true && !isTerminal) {
    throw new UsageError('Without a terminal, forget needs --dry-run (show what it would erase) or --yes (erase it)');
  }
  const { prisma } = app.database;
  const targets = await erasureTargets(app);
  const connectionIds = connectionsOf(targets, options);
  const planned = await planErasure({ prisma, targets }, connectionIds, selectors);
  if (Object.keys(planned.matched).length === 0) {
    throw new UsageError('Nothing in the mirror belongs to this person; nothing was erased');
  }
  assertOneAccount(planned.plan, options);
  if (options.dryRun === true || options.yes !== true) return showPlan(context, planned);
  const parts = await erasureParts(app, context);
  const tooMuch = options.force === true ? null : await whyTooMuch(planned, app, targets);
  if (tooMuch !== null) throw new UsageError(tooMuch);
  const { alsoFuture = false, deleteRows: deletesRows = false, reference = null } = options;
  const reason = options.reason ?? (alsoFuture ? 'objection' : 'request');
  const choices = { reason, reference, alsoFuture, deletesRows };
  return showReport(context, await erasePerson(parts, planned.plan, choices));
}

const MOST_LEADS = 5;
const MOST_ROWS = 100;

/** More than one person has as a rule; null: it is not. */
async function whyTooMuch(
  { matched }: PlannedErasure,
  app: App,
  targets: readonly ErasureTarget[],
): Promise<string | null> {
  const leads = matched['tiledesk.leads'] ?? 0;
  const again = 'Look at it with --dry-run; if it is one person all the same, add --force. Nothing was erased';
  if (leads > MOST_LEADS)
    return `${counted(leads, 'lead')} belong to this, more than one person has as a rule. ${again}`;
  for (const [stream, count] of Object.entries(matched)) {
    const tables = targets.filter((target) => target.stream.name === stream);
    if (count <= MOST_ROWS || tables.length === 0) continue;
    const rows = await Promise.all(
      tables.map(({ connectionId, stream: { table } }) =>
        countStoredRecords(app.database.prisma, { connectionId, table }),
      ),
    );
    if (count > rows.reduce((sum, one) => sum + one, 0) / 100) {
      return `${counted(count, 'row')} of ${stream} belong to this, more than 1 % of the table. ${again}`;
    }
  }
  return null;
}

function assertErasureId(id: string): void {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) {
    throw new UsageError(`${id} is no id of an erasure; sync.erasures lists them`);
  }
}

function showPlan({ printResult }: CommandContext, planned: PlannedErasure): ExitCode {
  const { matched, alike, sharedNames } = planned;
  const { counts, rows: found } = alike;
  const document = { erasure: null, state: 'dry_run', matched, erased: {}, residue: {}, alike: counts, found };
  printResult(document, () => [
    'Belongs to this person:',
    ...countLines(matched),
    ...(Object.keys(counts).length === 0
      ? []
      : [
          'Holds an address, number or name of theirs as well, and is not erased (--include stream:id adds a row):',
          ...countLines(counts),
          ...waysToLook(found),
        ]),
    ...(sharedNames === 0 ? [] : ['Another person has the same name: texts are not searched for it.']),
    '',
    'Nothing was erased. To erase it: the same command with --yes',
  ]);
  return EXIT.done;
}

function showReport({ printResult }: CommandContext, report: ErasureReport): ExitCode {
  const { isVacuumed, ...document } = report;
  printResult(document, () => describe(report, isVacuumed));
  return report.state === 'done' ? EXIT.done : EXIT.failed;
}

/** Most commands that are proposed. */
const PROPOSED = 5;

/** What shows, for each row, what it takes to erase it as well. */
const waysToLook = (found: readonly string[]): string[] =>
  found.slice(0, PROPOSED).map((row) => `    leadmirror forget --include ${row} --dry-run`);

function describe({ erasure, state, erased, residue, found }: ErasureReport, isVacuumed: boolean): string[] {
  return [
    `Erasure ${erasure}: ${state === 'done' ? 'done, and nothing of the person was found afterwards' : 'done, but the person was found in'}`,
    ...(state === 'done'
      ? []
      : [
          ...countLines(residue),
          "A row may be another person's, who names this one: that is for you to decide. What erasing it would take:",
          ...waysToLook(found),
        ]),
    'Erased:',
    ...countLines(erased),
    ...(isVacuumed
      ? []
      : ['The tables could not be vacuumed: old versions of the rows stay in the files until Postgres does it.']),
    'Not reached: Tiledesk and Tilkee themselves, backups and archived WAL until they expire, replicas until they have caught up, and exports.',
  ];
}

async function liftErasure(app: App, context: CommandContext, id: string) {
  assertErasureId(id);
  const { freed } = await lift(await erasureParts(app, context), id);
  context.printResult({ erasure: id, state: 'lifted', freed }, () => [
    `Erasure ${id} is lifted; the next full sync writes what the upstream still has (${counted(freed, 'row')} free to be written).`,
  ]);
  return EXIT.done;
}

async function replayJournal(app: App, context: CommandContext, path: string) {
  const journal = resolve(context.proc.cwd(), path);
  const reports = await replay(await erasureParts(app, { signal: context.signal, journal }));
  const isDone = reports.every(({ state }) => state === 'done');
  const documents = reports.map(({ isVacuumed, ...document }) => document);
  context.printResult({ state: isDone ? 'done' : 'residue', erasures: documents }, () => [
    `${counted(reports.length, 'erasure')} repeated. Runs may begin again.`,
    ...reports.filter(({ state }) => state !== 'done').flatMap((report) => describe(report, report.isVacuumed)),
  ]);
  return isDone ? EXIT.done : EXIT.failed;
}
