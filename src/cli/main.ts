import { Argument, Command, CommanderError, Help, Option } from 'commander';
import type { QueuedPass } from '../stream.ts';
import { readVersion } from '../version.ts';
import type { CommandProcess } from './command.ts';
import { addConnectionCommands } from './connection-commands.ts';
import { EXIT } from './exit-codes.ts';
import { CONNECTION_OPTION, createRunner, JSON_OPTION, repeated, share, wholeNumber } from './options.ts';

const PASSES: readonly QueuedPass[] = ['incremental', 'backfill', 'reconcile', 'count'];
/** What they print is no result, or one of many. */
const WITHOUT_JSON = ['init', 'start', 'changes', 'migrate', 'login', 'sandbox', 'demo'];
const MAX_RUNS = 100_000;
const MAX_ROWS = 1_000_000;
const MAX_SEED = 2_147_483_647;
const STREAM = ['<stream>', 'tiledesk.leads or short leads, or a source for all of its streams'] as const;

/** Runs the command of these arguments; its exit code is left in `proc.exitCode`. */
export async function main(argv: readonly string[], proc: CommandProcess = process): Promise<void> {
  const program = createProgram(proc);
  const json = argv.includes('--json');
  // The reader may stop early (`leadmirror runs | head -1`): the work goes on without output.
  surviveLostOutput(proc);
  // Libraries throw where their caller cannot catch it: pg does when a server asks for a sign-in that it does not know.
  proc.on('uncaughtException', async (error) => {
    const { explain } = await import('./command.ts');
    proc.exit(explain(error, { json, proc }));
  });
  try {
    if (argv.some((text) => /\0|\p{Cs}/u.test(text))) {
      program.error('error: an argument has a NUL character or half of a letter in it, which no name has');
    }
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) proc.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
    else proc.exitCode = (await import('./command.ts')).explain(error, { json, proc });
  }
}

export function createProgram(proc: CommandProcess = process): Command {
  const program = new Command('leadmirror')
    .description(
      'Keeps a faithful, queryable copy of Tiledesk (leads, requests) and Tilkee (links, visits) in Postgres.',
    )
    .version(readVersion(), '-V, --version')
    .showSuggestionAfterError()
    .showHelpAfterError('(leadmirror --help lists the commands)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => proc.stdout.write(text),
      writeErr: (text) => proc.stderr.write(text),
      getOutHelpWidth: () => proc.stdout.columns,
      getErrHelpWidth: () => proc.stderr.columns,
    })
    // Every command has options; without "[options]" a line has room at 80 columns.
    .configureHelp({
      subcommandTerm: (command) => new Help().subcommandTerm(command).replace(' [options]', ''),
    })
    // Options behind a command are that command's, also where `report` and `report refresh` have the same ones.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Settings come from the environment, .env and leadmirror.yaml; see
docs/configuration.md. Nothing set up yet? Try: leadmirror demo, then
leadmirror init
Exit codes: 0 done, 1 a stream failed, is blocked or has to wait, 2 usage or
configuration, 3 verify found differences, 130 stopped by a signal.`,
    );

  const run = createRunner(proc);
  const add = (name: string, description: string): Command => program.command(name).description(description);
  const onStream = (name: string, description: string): Command =>
    add(name, description)
      .argument(...STREAM)
      .option(...CONNECTION_OPTION);

  add('init', 'asks a few questions, tries the answers, writes .env').action(run(() => import('./init.ts'), 'init'));

  add('start', 'runs as a daemon: on schedule, until stopped')
    .option('--role <roles>', 'scheduler, worker, web; several comma separated', 'scheduler,worker,web')
    .action(run(() => import('./start.ts'), 'start'));

  add('sync', 'runs now, in this process, without a queue; the first time a full read, later what changed')
    .argument(
      '[stream...]',
      'streams (tiledesk.leads, or short leads) or a source for all of its streams (tiledesk, tilkee)',
    )
    .addOption(new Option('--pass <pass>', 'what to do').choices(PASSES))
    .option(...CONNECTION_OPTION)
    .option(
      '--no-reports',
      'leave the reporting tables as they are; without it sync refreshes them where no daemon does',
    )
    .action(run(() => import('./sync.ts'), 'sync'));

  add('check', 'tests the configuration, the database, the queue, and every connection').action(
    run(() => import('./check.ts'), 'check'),
  );

  add('status', 'the state of each stream, why, since when, what to do')
    .addOption(new Option('--watch', 'look again every two seconds, until Ctrl-C').conflicts('json'))
    .option('--all', 'each stream on a line of its own, also with more than three accounts')
    .addOption(new Option('--exit-code', 'end with 1 unless every stream is fresh').conflicts('watch'))
    .action(run(() => import('./status.ts'), 'status'));

  add('runs', 'the last runs, newest first')
    .option('--limit <n>', 'how many', wholeNumber(MAX_RUNS), 20)
    .action(run(() => import('./runs.ts'), 'runs'));

  const report = add('report', 'prints the main figures of some days')
    .option('--from <day>', 'first day, as 2026-01-31; 30 days that end with --to unless given')
    .option('--to <day>', 'last day; today unless given')
    .option(...CONNECTION_OPTION)
    .option('--html <file>', 'where to write the page (default: leadmirror-report-<from>-to-<to>.html in this folder)')
    .option('--no-html', 'write no page')
    .option('--agents', 'with the names of agents, in the page and in --json')
    .option('--json', 'one JSON document on stdout; no page unless --html names one')
    .enablePositionalOptions()
    .action(run(() => import('./report.ts'), 'report'));
  report
    .command('refresh')
    .description('updates the tables behind the reporting views, as the daemon and sync do by themselves')
    .option('--full', 'compute them anew from all rows')
    .option('--time-zone <name>', 'from now on days begin there, such as Europe/Rome')
    .option(
      '--business-hours <hours>',
      'also count first answers in these hours, such as "mon-fri 09:00-18:00"; none: no more',
    )
    .option('--connection <id>', 'only the days or hours of this connection')
    .action(run(() => import('./report-refresh.ts'), 'reportRefresh'));

  add('verify', 'compares the mirror with the upstream, row by row, and lists which rows and fields differ')
    .argument('[stream...]', 'streams or sources; all of them unless given')
    .option('--repair', 'read just what differs again, and write it')
    .addOption(
      new Option('--sample <share>', 'share of the rows to compare by content, such as 0.1; the rest by id and version')
        .argParser(share)
        .conflicts('full'),
    )
    .option('--full', 'compare all rows by content (the default)')
    .option(...CONNECTION_OPTION)
    .action(run(() => import('./verify.ts'), 'verify'));

  onStream('trigger', 'asks a running daemon, through the queue, to run a stream now')
    .addOption(new Option('--pass <pass>', 'what to do').choices(PASSES).default('incremental'))
    .action(run(() => import('./trigger.ts'), 'trigger'));

  const control = () => import('./control-commands.ts');
  onStream('pause', 'pauses a stream on all machines until resume').action(run(control, 'pause'));

  onStream('resume', 'resumes a paused stream where it stopped').action(run(control, 'resume'));

  onStream('cancel', 'ends the active runs of a stream, on any machine; progress is kept')
    .addOption(new Option('--pass <pass>', 'only runs of this pass').choices([...PASSES, 'verify']))
    .action(run(control, 'cancel'));

  onStream('resync', 'reads a stream from zero again; rows are kept, and changes continue to arrive meanwhile').action(
    run(control, 'resync'),
  );

  onStream('accept-deletions', 'lets the next full sync mark what the deletion guard blocks, once').action(
    run(control, 'acceptDeletions'),
  );

  add('quarantine', 'records that could not be mapped or written, with the reason')
    .argument('[list|retry]', 'list them, or map and write them again from their text, without a request', 'list')
    .argument('[stream...]', 'streams or sources; all of them unless given')
    .option(...CONNECTION_OPTION)
    .option('--raw', 'show the text of each record: it is personal data')
    .action(run(() => import('./quarantine.ts'), 'quarantine'));

  onStream('reproject', 'derives the typed columns again from raw, without a request').action(
    run(() => import('./reproject.ts'), 'reproject'),
  );

  add('history', 'keeps each version of the rows of a stream, so that the past can be asked')
    .addArgument(
      new Argument('<action>', 'switch it on or off, or show since when it is on').choices(['on', 'off', 'status']),
    )
    .argument('[stream...]', 'tiledesk.requests, or a source for all of its streams that have a history')
    .action(run(() => import('./history.ts'), 'history'));

  const onPerson = (name: string, description: string): Command =>
    add(name, description)
      .option('--lead <id>', "a lead's id or lead_id; each of these may be repeated", repeated)
      .option('--email <address>', 'an e-mail address', repeated)
      .option('--phone <number>', 'a phone number', repeated)
      .option('--link <id>', 'a Tilkee link', repeated)
      .option('--request <id>', 'a conversation, by id or request_id', repeated)
      .option('--include <stream:id>', 'this row as well', repeated)
      .option(...CONNECTION_OPTION);

  onPerson('forget', 'erases a person and prevents a return; shows what it would erase unless --yes is given')
    .addOption(new Option('--dry-run', 'only show what belongs to the person').conflicts('yes'))
    .option('--yes', 'erase')
    .option('--force', 'also more than one person has as a rule: 6 leads, or 1 % of a table')
    .option('--also-future', 'also what is created later: the person objected')
    .option('--delete-rows', 'delete the rows, where else rows without personal data stay')
    .option('--reason <text>', 'why, for the log; request or objection unless given')
    .option('--reference <text>', 'your own reference, for the log; no personal data')
    .option('--resume <erasure>', 'go on with an erasure that was stopped')
    .option('--lift <erasure>', 'let what was erased come back')
    .option('--replay <journal>', 'after a restored backup: repeat all erasures of the journal')
    .action(run(() => import('./forget.ts'), 'forget'));

  onPerson(
    'export-person',
    'writes all that the mirror holds of a person, exactly the rows that forget would erase, into a new file',
  )
    .option('--output <file>', 'a new file, which only you can read; - for the output of the command')
    .action(run(() => import('./export-person.ts'), 'exportPerson'));

  add('retention', 'applies the rules of PRIVACY_RETENTION now, as the daemon does once a day')
    .option('--dry-run', 'only show how many rows of each table would go')
    .option('--force', 'also a rule that is due for a large share of its table (SYNC_DELETE_BRAKE)')
    .action(run(() => import('./retention.ts'), 'retention'));

  add('changes', 'the feed of changes as newline-delimited JSON: what the consumer has not acknowledged')
    .requiredOption('--consumer <name>', 'who reads; a new one reads what changes from now on')
    .option('--limit <n>', 'how many at a time', wholeNumber(10_000), 1000)
    .option('--follow', 'go on until Ctrl-C')
    .option('--ack <cursor>', 'everything up to this change was processed')
    .action(run(() => import('./changes.ts'), 'changes'));

  add('migrate', 'brings the database to the current schema')
    .option('--status', 'only show what is applied and what is not')
    .option('--from-preview', 'take over a database that a preview of leadmirror made, with everything in it')
    .action(run(() => import('./migrate.ts'), 'migrateCommand'));

  add('grant-readonly', 'lets an existing database role read the mirror and its reports, and nothing else')
    .argument('<role>', 'a role that exists')
    .option('--without-personal-data', 'only columns that hold no personal data; takes back what it was given before')
    .action(run(() => import('./grant-readonly.ts'), 'grantReadonly'));

  add('privacy', 'what a data protection officer asks for')
    .command('record')
    .description('prints the record of processing: accounts, tables, fields, retention, roles that can read')
    .action(run(() => import('./privacy-record.ts'), 'privacyRecord'));

  add('rekey', 'encrypts the stored sign-ins with LEADMIRROR_SECRET_KEY instead of LEADMIRROR_OLD_SECRET_KEY')
    .option('--discard', 'delete what neither key opens; those accounts sign in again')
    .action(run(() => import('./rekey.ts'), 'rekey'));

  const connection = add('connection', 'accounts that are kept in the database, beside those of leadmirror.yaml');
  addConnectionCommands(connection, run);

  add('alerts', 'messages to people when something is wrong, by webhook and e-mail')
    .command('test')
    .description('sends a test message by webhook and e-mail, and prints the responses')
    .action(run(() => import('./alerts.ts'), 'alertsTest'));

  add('tilkee', 'the Tilkee account')
    .command('login')
    .description('signs in to Tilkee with the browser, once; the sign-in is kept, encrypted, in the database')
    .option('--connection <id>', 'which Tilkee account, when there are several')
    .option('--redirect-uri <uri>', 'as registered with Tilkee', 'http://127.0.0.1:8765/callback')
    .option('--no-listen', 'do not listen for the browser; the code is pasted')
    .action(run(() => import('./tilkee-login.ts'), 'tilkeeLogin'));

  add('sandbox', 'only the simulated Tiledesk, and Tilkee on the next port')
    .option(
      '--port <port>',
      'port of Tiledesk, Tilkee takes the next one; 0 picks free ones',
      wholeNumber(65_535, 0),
      4010,
    )
    .option('--seed <n>', 'data and changes follow from it', wholeNumber(MAX_SEED), 1)
    .option('--leads <n>', 'how many leads (Tiledesk)', wholeNumber(MAX_ROWS), 1500)
    .option('--requests <n>', 'how many requests (Tiledesk)', wholeNumber(MAX_ROWS), 4000)
    .option('--messages', 'mirror the messages of conversations, too')
    .option('--projects <n>', 'how many projects (Tilkee)', wholeNumber(MAX_ROWS), 120)
    .option('--links <n>', 'how many links (Tilkee)', wholeNumber(MAX_ROWS), 600)
    .option('--visits <n>', 'how many visits (Tilkee)', wholeNumber(MAX_ROWS), 1500)
    .option('--fault <kind:time...>', 'trouble to rehearse: 503:60s, or slow:5m@30s, half a minute after the start')
    .option('--live', 'things change while you watch')
    .action(run(() => import('./sandbox.ts'), 'sandbox'));

  add('demo', 'everything simulated, no configuration: database, Tiledesk, Tilkee, daemon')
    .option('--once', 'mirror everything, print the summary and some queries, exit')
    .action(run(() => import('./demo.ts'), 'demo'));

  for (const command of program.commands.flatMap((one) => [one, ...one.commands])) {
    command.exitOverride().showSuggestionAfterError();
    const isGroup = command.commands.length > 0;
    if (!isGroup && !WITHOUT_JSON.includes(command.name())) command.option(...JSON_OPTION);
  }
  return program;
}

/** Lost output, as on a full disk, ends no work; a command that promised a document has failed all the same. */
function surviveLostOutput(proc: CommandProcess): void {
  let isOutputLost = false;
  const onError = ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE' || isOutputLost) return;
    isOutputLost = true;
    proc.stderr.write(`The output cannot be written (${code ?? 'unknown'}); what writes to the database goes on.\n`);
    proc.once('exit', () => {
      if (proc.exitCode === undefined || proc.exitCode === EXIT.done) proc.exitCode = EXIT.failed;
    });
  };
  for (const stream of [proc.stdout, proc.stderr]) stream.on('error', onError);
}
