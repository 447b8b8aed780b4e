import { connect, createHttpClient, vaultsIn } from '../../app.ts';
import { systemClock } from '../../clock.ts';
import { type Answers, loadAnswers } from '../../config/answers.ts';
import type { Config } from '../../config.ts';
import { AuthError, LeadmirrorError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import { createLocalBudget } from '../../http/budget.ts';
import { createRefusalGuard } from '../../http/refusal-guard.ts';
import { createUpstream } from '../../http/upstream.ts';
import type { Logger } from '../../logger.ts';
import {
  createTiledeskSignIn,
  fetchOwnProjects,
  type OwnProject,
  tiledeskCredential,
} from '../../sources/tiledesk/index.ts';
import { createMemoryVault } from '../../sources/vault.ts';
import type { Connection, FetchOptions } from '../../stream.ts';

export interface TrialParts {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Where `.env` is, and the process's environment unless told otherwise. */
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs `work` with the connections that these answers make: the daemon's own, with nothing kept afterwards. */
export async function tryConnections<T>(
  parts: TrialParts,
  answers: Answers,
  work: (connections: readonly Connection[], options: FetchOptions) => Promise<T>,
): Promise<T> {
  const config = loadAnswers(answers, parts);
  const client = createHttpClient(config, systemClock);
  try {
    const budgetOf = (_credential: string, perMinute: number) => budgetIn(config, perMinute);
    const vaults = vaultsIn(config, null);
    const connections = connect(config, { logger: parts.logger, clock: systemClock, client, budgetOf, vaults });
    return await work(connections, fetchOptions(config, parts));
  } finally {
    await client.close();
  }
}

/** Signs in, and lists the account's projects; null where the server does not tell them. `answers` name any project. */
export async function tryTiledeskAccount(parts: TrialParts, answers: Answers): Promise<readonly OwnProject[] | null> {
  const config = loadAnswers(answers, parts);
  const [settings] = config.connections;
  if (settings?.source !== 'tiledesk') throw new Error('these answers make no Tiledesk connection');
  const client = createHttpClient(config, systemClock);
  try {
    const upstream = createUpstream({
      ...{ client, clock: systemClock, logger: parts.logger, credential: tiledeskCredential(settings) },
      budget: budgetIn(config, settings.requestsPerMinute),
      ...{ attempts: config.http.retryAttempts, maxTotalMs: config.http.retryMaxMs },
    });
    const signIn = createTiledeskSignIn(settings, upstream, {
      vault: createMemoryVault(),
      guard: createRefusalGuard(null),
    });
    return await fetchOwnProjects({ baseUrl: settings.baseUrl, signIn, upstream }, fetchOptions(config, parts));
  } finally {
    await client.close();
  }
}

const budgetIn = ({ http }: Config, perMinute: number) =>
  createLocalBudget(perMinute, systemClock, { requestTimeoutMs: http.timeoutMs });

const fetchOptions = ({ http }: Config, { signal }: TrialParts): FetchOptions => ({
  signal,
  maxWaitMs: http.retryMaxMs,
  onRequest: () => {},
});

/** Which answer a failed trial asks for again. */
export type Doubt = 'account' | 'address' | 'weather';

/** @throws the error itself when it is no answer's fault */
export function doubtAfter(error: unknown): Doubt {
  if (error instanceof AuthError) return 'account';
  if (error instanceof UpstreamRefusedError || error instanceof UpstreamContractError) return 'address';
  if (error instanceof LeadmirrorError) return 'weather';
  throw error;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
