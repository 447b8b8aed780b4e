import type { Command } from 'commander';
import type { CommandProcess } from './command.ts';

const JSON_OPTION = ['--json', 'one JSON document on stdout'] as const;
const repeated = (value: string, before: readonly string[] = []) => [...before, value];

/** The accounts that the database keeps. */
export function addConnectionCommands(group: Command, proc: CommandProcess): void {
  const load = () => import('./connection.ts');
  const withSecrets = (command: Command): Command =>
    command
      .option(
        '--secret <name>',
        'a secret to be typed, or read from a line of stdin, such as token; may be repeated',
        repeated,
      )
      .option('--secret-file <name=file>', 'a secret that is in a file; may be repeated', repeated)
      .option('--password-file <file>', 'the same as --secret-file password=<file>')
      .option(...JSON_OPTION);

  withSecrets(
    group
      .command('add')
      .description('add an account; e-mail and password are asked for, or read from stdin, a line each'),
  )
    .argument('<source>', 'tiledesk or tilkee')
    .argument('[key=value...]', 'settings as in leadmirror.yaml, such as projectId=…')
    .option('--id <id>', 'its name here; tiledesk:<project> unless given')
    .action(async (source, settings, options) => (await load()).addConnection(source, settings, options, proc));

  group
    .command('list')
    .description('the accounts that the database keeps, without their secrets')
    .option(...JSON_OPTION)
    .action(async (options) => (await load()).listConnections(options, proc));

  withSecrets(group.command('edit').description('change an account; another address needs its secrets again'))
    .argument('<id>', 'as connection list shows it')
    .argument('[key=value...]', 'what changes; key= removes a key')
    .action(async (id, settings, options) => (await load()).editConnection(id, settings, options, proc));

  group
    .command('check')
    .description('try an account, or all that the database keeps; changes nothing upstream')
    .argument('[id]', 'as connection list shows it')
    .option(...JSON_OPTION)
    .action(async (id, options) => (await load()).checkKept(id, options, proc));

  group
    .command('remove')
    .description('end the mirroring of an account; its rows and runs stay, unless --erase is given')
    .argument('<id>', 'as connection list shows it')
    .option('--erase', 'delete everything of it: rows, history, quarantine, runs, secrets')
    .option('--yes', 'erase without a question')
    .option(...JSON_OPTION)
    .action(async (id, options) => (await load()).removeConnection(id, options, proc));
}
