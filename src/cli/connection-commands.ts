import type { Command } from 'commander';
import { type createRunner, repeated } from './options.ts';

/** The accounts that the database keeps. */
export function addConnectionCommands(group: Command, run: ReturnType<typeof createRunner>): void {
  const load = () => import('./connection.ts');
  const withSecrets = (command: Command): Command =>
    command
      .option(
        '--secret <name>',
        'a secret to be typed, or read from a line of stdin, such as token; may be repeated',
        repeated,
      )
      .option('--secret-file <name=file>', 'a secret that is in a file; may be repeated', repeated)
      .option('--password-file <file>', 'the same as --secret-file password=<file>');

  withSecrets(group.command('add').description('adds an account; the settings are those of leadmirror.yaml'))
    .argument('<source>', 'tiledesk or tilkee')
    .argument('[key=value...]', 'settings as in leadmirror.yaml, such as projectId=…')
    .option('--id <id>', 'its name here; tiledesk:<project> unless given')
    .action(run(load, 'addConnection'));

  group
    .command('list')
    .description('the accounts of the database, without their secrets, and why one is not mirrored')
    .action(run(load, 'listConnections'));

  withSecrets(
    group
      .command('edit')
      .description('changes an account; key= removes a key. Another address needs the secrets again'),
  )
    .argument('<id>', 'as connection list shows it')
    .argument('[key=value...]', 'what changes; key= removes a key')
    .action(run(load, 'editConnection'));

  group
    .command('check')
    .description('tries one account of the database, or all: the sign-in, and a page of each stream')
    .argument('[id]', 'as connection list shows it')
    .action(run(load, 'checkKept'));

  group
    .command('remove')
    .description(
      'ends the mirroring of an account: its secrets are deleted, its schedules and alerts end; its rows and runs stay',
    )
    .argument('<id>', 'as connection list shows it')
    .option('--erase', 'delete everything of it: rows, history, quarantine, runs, secrets')
    .option('--yes', 'erase without a question')
    .action(run(load, 'removeConnection'));
}
