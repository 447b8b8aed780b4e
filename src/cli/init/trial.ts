import { createConnector } from '../../app/connector.ts';
import { vaultsIn } from '../../app/mirror-database.ts';
import { createUpstreams, withUpstreams } from '../../app/upstreams.ts';
import { type Answers, loadAnswers, problemWith } from '../../config/answers.ts';
import type { VariableName } from '../../config.ts';
import { AuthError, LeadmirrorError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import { createRefusalGuard } from '../../http/refusal-guard.ts';
import type { Logger } from '../../logger.ts';
import {
  createTiledeskSignIn,
  fetchOwnProjects,
  type OwnProject,
  tiledeskCredential,
} from '../../sources/tiledesk/index.ts';
import { createMemoryVault } from '../../sources/vault.ts';
import type { Asker } from './ask.ts';
import { formatEntry } from './dot-env.ts';

export interface TrialParts {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Where `.env` is; default: the process's environment. */
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Signs in and lists the account's projects; null where the server does not. `answers` name any project. */
export function tryTiledeskAccount(parts: TrialParts, answers: Answers): Promise<readonly OwnProject[] | null> {
  const config = loadAnswers(answers, parts);
  const [settings] = config.connections;
  if (settings?.source !== 'tiledesk') throw new Error('these answers make no Tiledesk connection');
  return withUpstreams(config, parts, async (upstreamParts, fetch) => {
    const { source, requestsPerMinute } = settings;
    const credential = tiledeskCredential(settings);
    const upstream = createUpstreams(config.http, upstreamParts)({ source, credential, requestsPerMinute });
    const guard = createRefusalGuard(null);
    const signIn = createTiledeskSignIn({ settings, upstream, vault: createMemoryVault(), guard });
    return fetchOwnProjects({ baseUrl: settings.baseUrl, signIn, upstream }, fetch);
  });
}

/** Opens every connection that these answers make, as the daemon does, and reports the results. */
export function openAll(ask: Asker, parts: TrialParts, answers: Answers): Promise<void> {
  const config = loadAnswers(answers, parts);
  return withUpstreams(config, parts, async (upstreamParts, fetch) => {
    const connect = createConnector(config, { ...upstreamParts, vaultOf: vaultsIn(config, null) });
    for (const connection of connect(config.connections)) {
      const { summary } = await connection.open(fetch);
      ask.print('success', `${connection.id}: ${summary}`);
      for (const { name, check } of connection.healthChecks ?? []) {
        try {
          ask.print('success', `${name}: ${await check(fetch)}`);
        } catch (error) {
          problemAfter(error);
          ask.print('warn', `${name}: ${messageOf(error)}`);
        }
      }
    }
  });
}

/** The value of a trial, an answer to ask for again, or answers that a person keeps untried. */
export type Tried<T> = { readonly value: T } | 'account' | 'address' | 'kept';

/**
 * Tries until it works or is given up. After a failure not in `certain` a person decides: the answers may be right.
 * @throws the error itself when it is a mistake of ours
 */
export async function tryUntilClear<T>(
  ask: Asker,
  { doing, certain }: { readonly doing: string; readonly certain: readonly ('account' | 'address')[] },
  work: () => Promise<T>,
): Promise<Tried<T>> {
  for (;;) {
    ask.print('step', doing);
    try {
      return { value: await work() };
    } catch (error) {
      const problem = problemAfter(error);
      ask.print('error', messageOf(error));
      if (problem !== null && certain.includes(problem)) return problem;
      const choice = await ask.choose('It could not be tried. What now?', [
        { value: 'again', label: 'Try again' },
        { value: 'change', label: 'Change the answers' },
        { value: 'keep', label: 'Keep them, untried' },
      ]);
      if (choice === 'keep') return 'kept';
      if (choice === 'change') return 'address';
    }
  }
}

/** The answer to ask for again after a failure; null: none. @throws the error itself when it is a mistake of ours */
function problemAfter(error: unknown): 'account' | 'address' | null {
  if (error instanceof AuthError) return 'account';
  if (error instanceof UpstreamRefusedError || error instanceof UpstreamContractError) return 'address';
  if (error instanceof LeadmirrorError) return null;
  throw error;
}

/** Returns the configuration's message, or that `.env` cannot contain the answer. `others`: answers that it needs. */
export const checkFor =
  (name: VariableName, parts: TrialParts, others: Answers = {}) =>
  (text: string): string | undefined =>
    problemWith(name, { ...others, [name]: text }, parts) ?? writable(name)(text);

/** Rejects at the question what `.env` cannot contain. */
export const writable =
  (name: string) =>
  (text: string): string | undefined =>
    formatEntry(name, text) === null
      ? `.env cannot hold this one: no kind of quotes fits its characters. Put it into a file, and name that file in ${name}_FILE.`
      : undefined;

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
