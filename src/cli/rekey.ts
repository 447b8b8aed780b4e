import { Environment } from '../config/environment.ts';
import { Findings } from '../config/findings.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { readProcesses } from '../store/engine/processes.ts';
import { rekey as changeKey } from '../store/engine/secret-key.ts';
import { rewrapJournal } from '../store/privacy/rewrap-journal.ts';
import { type CommandContext, type CommandProcess, runOnDatabase } from './command.ts';

/** Encrypts the stored sign-ins with LEADMIRROR_SECRET_KEY, which so far were with LEADMIRROR_OLD_SECRET_KEY. */
export async function rekey({ discard = false, json = false }, proc: CommandProcess): Promise<void> {
  await runOnDatabase({ json, proc }, async ({ prisma }, { config, signal, printResult }) => {
    const keys = readKeys(config, discard);
    const keptIn = whereKept(keys.newKey, proc);
    const changed = await changeKey(prisma, { ...keys, discards: discard, signal });
    if (config.privacyJournal !== null) await rewrapJournal(config.privacyJournal, keys);
    const living = (await readProcesses(prisma)).filter((process) => process.is_alive);
    const running = living.map(({ host, pid }) => ({ host, pid }));
    const already = changed.unchanged === 0 ? '' : `, ${changed.unchanged} had it already`;
    const removed =
      changed.discarded === 0 ? '' : `, ${changed.discarded} deleted (those accounts have to sign in again)`;
    const processes = running.map(({ host, pid }) => `${host}:${pid}`).join(', ');
    printResult({ ...changed, running, key_kept_in: keptIn }, () => [
      `Encrypted with the new key: ${changed.reencrypted} stored sign-ins${already}${removed}.`,
      keptIn === null ? NOT_KEPT : `The new key is kept in ${keptIn}.`,
      running.length === 0
        ? 'Start leadmirror with the new LEADMIRROR_SECRET_KEY from now on, and remove LEADMIRROR_OLD_SECRET_KEY.'
        : `Give ${processes} the new LEADMIRROR_SECRET_KEY and restart: with the old one no sign-in works any more.`,
    ]);
  });
}

const NOT_KEPT =
  'The new key is in the environment of this command only: write LEADMIRROR_SECRET_KEY to .env, or to where the processes get their environment from. Without it no stored sign-in can be decrypted.';

/** Where this process found the key; null: in its own environment, and it is not known what else keeps that. */
function whereKept(key: string, { env, cwd }: CommandProcess): string | null {
  if (env.LEADMIRROR_SECRET_KEY_FILE) return 'the file of LEADMIRROR_SECRET_KEY_FILE';
  const dotEnv = new Environment({ env: {}, cwd: cwd(), findings: new Findings() });
  const given = dotEnv.given('LEADMIRROR_SECRET_KEY');
  if (given?.text !== key) return null;
  return given.label === 'LEADMIRROR_SECRET_KEY' ? '.env' : `the file of ${given.label} in .env`;
}

/** @throws ConfigError with everything that is missing */
function readKeys({ secretKey: newKey, oldSecretKey: oldKey }: CommandContext['config'], discard: boolean) {
  const problems: ConfigProblem[] = [];
  const complain = (variable: string, message: string) => problems.push({ variable, message });
  if (newKey === null) complain('LEADMIRROR_SECRET_KEY', 'is not set; it is to be the new key');
  if (oldKey === null && !discard) {
    const message =
      'is not set; it is to be the key so far. When that is lost, --discard deletes what it has encrypted';
    complain('LEADMIRROR_OLD_SECRET_KEY', message);
  }
  if (newKey !== null && newKey === oldKey) {
    complain('LEADMIRROR_SECRET_KEY', 'is the same as LEADMIRROR_OLD_SECRET_KEY; set a new one');
  }
  if (newKey === null || problems.length > 0) throw new ConfigError(problems);
  return { oldKey, newKey };
}
