import { Argument, Command, CommanderError, Help, InvalidArgumentError, Option } from 'commander';
import type { QueuedPass } from '../stream.ts';
import { readVersion } from '../version.ts';
import type { CommandProcess } from './command.ts';
import { addConnectionCommands } from './connection-commands.ts';
import { EXIT } from './exit-codes.ts';

// Commands are loaded when they are run, so that `--help` answers at once.
const PASSES: readonly QueuedPass[] = ['incremental', 'backfill', 'reconcile', 'count'];
const MAX_RUNS = 100_000;
const MAX_ROWS = 1_000_000;
const MAX_SEED = 2_147_483_647;
const CONNECTION_OPTION = ['--connection <id>', 'only this connection'] as const;
const JSON_OPTION = ['--json', 'one JSON document on stdout'] as const;
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
    // What stands behind a command is that command's, also where `report` and `report refresh` have options of one name.
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

  const add = (name: string, description: string): Command => program.command(name).description(description);
  const onStream = (name: string, description: string): Command =>
    add(name, description)
      .argument(...STREAM)
      .option(...CONNECTION_OPTION)
      .option(...JSON_OPTION);

  add('init', 'ask a few questions, try the answers, write .env').action(async () =>
    (await import('./init.ts')).init(proc),
  );

  add('start', 'run as a daemon: on schedule, until stopped')
    .option('--role <roles>', 'scheduler, worker, web; several comma separated', 'scheduler,worker,web')
    .action(async (options) => (await import('./start.ts')).start(options, proc));

  add('sync', 'run now, in this process; the first time a full read, later only what changed')
    .argument(
      '[stream...]',
      'streams (tiledesk.leads, or short leads) or a source for all of its streams (tiledesk, tilkee)',
    )
    .addOption(new Option('--pass <pass>', 'what to do').choices(PASSES))
    .option(...CONNECTION_OPTION)
    .option(...JSON_OPTION)
    .option(
      '--no-reports',
      'leave the reporting tables as they are; without it sync refreshes them where no daemon does',
    )
    .action(async (streams, options) => (await import('./sync.ts')).sync(streams, options, proc));

  add('check', 'try configuration, database, queue and every connection; changes nothing upstream')
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./check.ts')).check(options, proc));

  add('status', 'state of each stream: fresh or not, why, since when, what to do')
    .addOption(new Option('--watch', 'look again every two seconds, until Ctrl-C').conflicts('json'))
    .option('--all', 'each stream on a line of its own, also with more than three accounts')
    .addOption(new Option('--exit-code', 'end with 1 unless every stream is fresh').conflicts('watch'))
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./status.ts')).status(options, proc));

  add('runs', 'last runs, newest first')
    .option('--limit <n>', 'how many', wholeNumber(MAX_RUNS), 20)
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./runs.ts')).runs(options, proc));

  const report = add(
    'report',
    'the main figures of some days, and the same with charts as one HTML file; no personal data without --agents',
  )
    .option('--from <day>', 'first day, as 2026-01-31; 30 days that end with --to unless given')
    .option('--to <day>', 'last day; today unless given')
    .option(...CONNECTION_OPTION)
    .option('--html <file>', 'where to write the page (default: leadmirror-report-<from>-to-<to>.html in this folder)')
    .option('--no-html', 'write no page')
    .option('--agents', 'with the names of agents, in the page and in --json')
    .option('--json', 'one JSON document on stdout; no page unless --html names one')
    .enablePositionalOptions()
    .action(async (options) => (await import('./report.ts')).report(options, proc));
  report
    .command('refresh')
    .description(
      'bring the tables that the views of schema reporting read up to the mirror; the daemon does it, and sync at its end',
    )
    .option('--full', 'compute them anew from all rows')
    .option('--time-zone <name>', 'from now on days begin there, such as Europe/Rome')
    .option(
      '--business-hours <hours>',
      'also count first answers in these hours, such as "mon-fri 09:00-18:00"; none: no more',
    )
    .option('--connection <id>', 'only the days or hours of this connection')
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./report-refresh.ts')).reportRefresh(options, proc));

  add('verify', 'compare the mirror with the upstream, row by row; lists what differs')
    .argument('[stream...]', 'streams or sources; all of them unless given')
    .option('--repair', 'read just what differs again, and write it')
    .addOption(
      new Option('--sample <share>', 'share of the rows to compare by content, such as 0.1; the rest by id and version')
        .argParser(share)
        .conflicts('full'),
    )
    .option('--full', 'compare all rows by content (the default)')
    .option(...CONNECTION_OPTION)
    .option(...JSON_OPTION)
    .action(async (streams, options) => (await import('./verify.ts')).verify(streams, options, proc));

  add('trigger', 'ask a running daemon to run a stream now')
    .argument(...STREAM)
    .addOption(new Option('--pass <pass>', 'what to do').choices(PASSES).default('incremental'))
    .option(...CONNECTION_OPTION)
    .action(async (stream, options) => (await import('./trigger.ts')).trigger(stream, options, proc));

  onStream('pause', 'let a stream rest, on all machines, until it is resumed; progress is kept').action(
    async (stream, options) => (await import('./control-commands.ts')).pause(stream, options, proc),
  );

  onStream('resume', 'take a paused stream up again, where it stopped').action(async (stream, options) =>
    (await import('./control-commands.ts')).resume(stream, options, proc),
  );

  onStream('cancel', 'end the runs of a stream that are under way, on any machine; progress is kept')
    .addOption(new Option('--pass <pass>', 'only runs of this pass').choices([...PASSES, 'verify']))
    .action(async (stream, options) => (await import('./control-commands.ts')).cancel(stream, options, proc));

  onStream('resync', 'read a stream from zero again, rows kept; what changes meanwhile goes on arriving').action(
    async (stream, options) => (await import('./control-commands.ts')).resync(stream, options, proc),
  );

  onStream('accept-deletions', 'let the next full sync mark the deletions that the guard blocks, once').action(
    async (stream, options) => (await import('./control-commands.ts')).acceptDeletions(stream, options, proc),
  );

  add('quarantine', 'records that could not be mapped or written, with the reason; try them again')
    .argument('[list|retry]', 'list them, or map and write them again from their text, without a request', 'list')
    .argument('[stream...]', 'streams or sources; all of them unless given')
    .option(...CONNECTION_OPTION)
    .option('--raw', 'show the text of each record: it is personal data')
    .option(...JSON_OPTION)
    .action(async (first, streams, options) =>
      (await import('./quarantine.ts')).quarantine(first, streams, options, proc),
    );

  onStream('reproject', 'derive typed columns again from raw, without a request').action(async (stream, options) =>
    (await import('./reproject.ts')).reproject(stream, options, proc),
  );

  add('history', 'versions of rows: what was true at any moment since it was switched on')
    .addArgument(
      new Argument('<action>', 'switch it on or off, or show since when it is on').choices(['on', 'off', 'status']),
    )
    .argument('[stream...]', 'tiledesk.requests, or a source for all of its streams that have a history')
    .option(...JSON_OPTION)
    .action(async (action, streams, options) => (await import('./history.ts')).history(action, streams, options, proc));

  const repeated = (value: string, before: readonly string[] = []) => [...before, value];
  const onPerson = (name: string, description: string): Command =>
    add(name, description)
      .option('--lead <id>', "a lead's id or lead_id; each of these may be repeated", repeated)
      .option('--email <address>', 'an e-mail address', repeated)
      .option('--phone <number>', 'a phone number', repeated)
      .option('--link <id>', 'a Tilkee link', repeated)
      .option('--request <id>', 'a conversation, by id or request_id', repeated)
      .option('--include <stream:id>', 'this row as well', repeated)
      .option(...CONNECTION_OPTION)
      .option(...JSON_OPTION);

  onPerson('forget', 'erase a person from the mirror, and keep it so; shows what it would erase unless --yes is given')
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
    .action(async (options) => (await import('./forget.ts')).forget(options, proc));

  onPerson('export-person', 'write all that the mirror holds of a person into one file: what forget would erase')
    .option('--output <file>', 'a new file, which only you can read; - for the output of the command')
    .action(async (options) => (await import('./export-person.ts')).exportPerson(options, proc));

  add('retention', 'apply the rules of PRIVACY_RETENTION now, as the daemon does once a day')
    .option('--dry-run', 'only show how many rows of each table would go')
    .option('--force', 'also a rule that is due for a large share of its table (SYNC_DELETE_BRAKE)')
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./retention.ts')).retention(options, proc));

  add('changes', 'the feed of changes, one JSON document a line; see docs/changes.md')
    .requiredOption('--consumer <name>', 'who reads; a new one reads what changes from now on')
    .option('--limit <n>', 'how many at a time', wholeNumber(10_000), 1000)
    .option('--follow', 'go on until Ctrl-C')
    .option('--ack <cursor>', 'everything up to this change was processed')
    .action(async (options) => (await import('./changes.ts')).changes(options, proc));

  add('migrate', "bring the database to this version's schema")
    .option('--status', 'only show what is applied and what is not')
    .option('--from-preview', 'take over a database that a preview of leadmirror made, with everything in it')
    .action(async (options) => (await import('./migrate.ts')).migrateCommand(options, proc));

  add('grant-readonly', 'let a database role read the mirror and the reports, and write nothing')
    .argument('<role>', 'a role that exists')
    .option('--without-personal-data', 'only columns that hold no personal data; takes back what it was given before')
    .option(...JSON_OPTION)
    .action(async (role, options) => (await import('./grant-readonly.ts')).grantReadonly(role, options, proc));

  add('privacy', 'what a data protection officer asks for')
    .command('record')
    .description('the record of processing activities, as Markdown, from the configuration and the database')
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./privacy-record.ts')).privacyRecord(options, proc));

  add(
    'rekey',
    'encrypt the stored sign-ins with another LEADMIRROR_SECRET_KEY; LEADMIRROR_OLD_SECRET_KEY is the one so far',
  )
    .option('--discard', 'delete what neither key opens; those accounts sign in again')
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./rekey.ts')).rekey(options, proc));

  const connection = add('connection', 'accounts that are kept in the database, beside those of leadmirror.yaml');
  addConnectionCommands(connection, proc);

  add('alerts', 'messages to people when something is wrong, by webhook and e-mail')
    .command('test')
    .description('send a test message on every configured channel, and show the results')
    .option(...JSON_OPTION)
    .action(async (options) => (await import('./alerts.ts')).alertsTest(options, proc));

  add('tilkee', 'the Tilkee account')
    .command('login')
    .description('sign in with the browser, once; the sign-in is kept encrypted in the database')
    .option('--connection <id>', 'which Tilkee account, when there are several')
    .option('--redirect-uri <uri>', 'as registered with Tilkee', 'http://127.0.0.1:8765/callback')
    .option('--no-listen', 'do not listen for the browser; the code is pasted')
    .action(async (options) => (await import('./tilkee-login.ts')).tilkeeLogin(options, proc));

  add('sandbox', 'a simulated Tiledesk and Tilkee on loopback, with invented data')
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
    .action(async (options) => (await import('./sandbox.ts')).sandbox(options, proc));

  add('demo', 'everything simulated, no configuration: database, Tiledesk, Tilkee, daemon')
    .option('--once', 'mirror everything, print the summary and some queries, exit')
    .action(async (options) => (await import('./demo.ts')).demo(options, proc));

  for (const command of [...program.commands, ...report.commands, ...connection.commands])
    command.exitOverride().showSuggestionAfterError();
  return program;
}

/** Output that cannot be written, as on a full disk, does not end the work; a command that promised a document has failed all the same. */
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

function share(text: string): number {
  const number = Number(text);
  if (!(number >= 0 && number <= 1) || !/^[\d.]+$/.test(text))
    throw new InvalidArgumentError('a number from 0 to 1 is needed.');
  return number;
}

/** Decimal digits only, as in the settings: no sign, no `1e3`, no `0x10`. */
const wholeNumber =
  (max: number, min = 1) =>
  (text: string): number => {
    const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed.`);
  };
