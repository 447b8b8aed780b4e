import { openMirrorDatabase } from '../app.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { readProcesses } from '../store/engine/processes.ts';
import { rekey as changeKey } from '../store/engine/secret-key.ts';
import { databaseError } from '../store/faults.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';

export interface RekeyCommandOptions {
  readonly discard?: boolean;
  readonly json?: boolean;
}

/** Encrypts the stored sign-ins with LEADMIRROR_SECRET_KEY, which so far were with LEADMIRROR_OLD_SECRET_KEY. */
export async function rekey({ discard = false, json }: RekeyCommandOptions): Promise<void> {
  await runCommand({ json, requireConnections: false }, async ({ config, logger, signal }) => {
    const { secretKey: newKey, oldSecretKey: oldKey } = config;
    const problems: ConfigProblem[] = [];
    if (newKey === null)
      problems.push({ variable: 'LEADMIRROR_SECRET_KEY', message: 'is not set; it is to be the new key' });
    if (oldKey === null && !discard) {
      const message =
        'is not set; it is to be the key so far. When that is lost, --discard forgets what it has encrypted';
      problems.push({ variable: 'LEADMIRROR_OLD_SECRET_KEY', message });
    }
    if (newKey !== null && newKey === oldKey) {
      problems.push({
        variable: 'LEADMIRROR_SECRET_KEY',
        message: 'is the same as LEADMIRROR_OLD_SECRET_KEY; set a new one',
      });
    }
    if (newKey === null || problems.length > 0) throw new ConfigError(problems);
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const changed = await changeKey(database.prisma, { oldKey, newKey, discards: discard, signal });
      const running = (await readProcesses(database.prisma)).filter((process) => process.is_alive);
      if (json) printJson({ ...changed, running: running.map(({ host, pid }) => ({ host, pid })) });
      else {
        const forgotten =
          changed.discarded === 0 ? '' : `, ${changed.discarded} forgotten (those accounts have to sign in again)`;
        const already = changed.unchanged === 0 ? '' : `, ${changed.unchanged} had it already`;
        print(`Encrypted with the new key: ${changed.reencrypted} stored sign-ins${already}${forgotten}.`);
        const processes = running.map(({ host, pid }) => `${host}:${pid}`).join(', ');
        print(
          running.length === 0
            ? 'Start leadmirror with the new LEADMIRROR_SECRET_KEY from now on, and remove LEADMIRROR_OLD_SECRET_KEY.'
            : `Give ${processes} the new LEADMIRROR_SECRET_KEY and restart: with the old one no sign-in works any more.`,
        );
      }
      return EXIT.done;
    } catch (error) {
      throw databaseError(error, database.place);
    } finally {
      await database.close();
    }
  });
}
