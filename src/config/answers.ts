import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfigSources, loadConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { Environment } from './environment.ts';
import { Findings } from './findings.ts';
import type { Config } from './types.ts';
import type { VariableName } from './variables.ts';

/** The answers by variable; null switches a variable off. */
export type Answers = Partial<Record<VariableName | `${VariableName}_FILE`, string | null>>;

/** How requests leave this machine, and how Tilkee is spoken to: what is set already holds for a trial too. */
const SURROUNDINGS = [
  ...['ALLOW_INSECURE_HTTP', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'HTTP_TIMEOUT_SECONDS'],
  ...['TILKEE_AUTH_BODY', 'TILKEE_SCOPE', 'TILKEE_REF', 'LEADMIRROR_SECRET_KEY'],
];

/** Short, because a question waits for it. */
const IMPATIENT = { RETRY_ATTEMPTS: '2', RETRY_MAX_SECONDS: '10' };

type Sources = Pick<ConfigSources, 'env' | 'cwd'>;

/**
 * Returns the configuration that these answers alone make, with the way out of this machine that is set already.
 * @throws ConfigError with every problem of the answers
 */
export function loadAnswers(
  answers: Answers,
  { env = process.env, cwd = process.cwd() }: Partial<Sources> = {},
): Config {
  const known = new Environment({ env, cwd, findings: new Findings() });
  const surroundings = Object.fromEntries(SURROUNDINGS.map((name) => [name, known.given(name)?.text ?? undefined]));
  const given = Object.entries(answers).map(([name, text]) => [name, text ?? undefined]);
  // A folder that is not there: neither `.env` nor leadmirror.yaml is found.
  const nowhere = join(tmpdir(), 'leadmirror-init', 'nowhere');
  return loadConfig(
    { env: { ...IMPATIENT, ...surroundings, ...Object.fromEntries(given) }, cwd: nowhere, isTerminal: false },
    { requireConnections: false },
  );
}

/** Returns the configuration's message about one answer; undefined when nothing is wrong. */
export function problemWith(name: VariableName, answers: Answers, sources?: Partial<Sources>): string | undefined {
  try {
    loadAnswers(answers, sources);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.find(({ variable }) => variable === name)?.message;
  }
  return undefined;
}

/** Returns the names that the process's own environment sets, which win over `.env`. */
export function decidedByProcess(names: readonly string[], { env = process.env }: Partial<Sources> = {}): string[] {
  return names.flatMap((name) => [name, `${name}_FILE`].filter((spelling) => env[spelling] !== undefined));
}
