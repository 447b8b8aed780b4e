import { resolve } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { Findings } from '../config/findings.ts';
import { readSecretFile } from '../config/read-file.ts';
import { ConfigError } from '../errors.ts';
import { type CommandContext, UsageError } from './command.ts';
import { createAsker } from './init/ask.ts';

export interface SecretOptions {
  /** Names of those that are typed, or read from stdin, in this order. */
  readonly secret?: readonly string[];
  /** `token=/run/secrets/token` */
  readonly secretFile?: readonly string[];
  readonly passwordFile?: string;
}

/** Reads secrets from files, questions on a terminal, or lines of stdin. Never from an argument, which others see. */
export async function readSecrets(
  { secret, secretFile = [], passwordFile }: SecretOptions,
  { proc, signal, known, unlessGiven }: SecretContext,
): Promise<Readonly<Record<string, string>>> {
  const files = [...secretFile, ...(passwordFile === undefined ? [] : [`password=${passwordFile}`])].map(splitPair);
  const typed = secret ?? (files.length === 0 ? unlessGiven : []);
  for (const name of [...typed, ...files.map(([key]) => key)]) {
    if (!known.includes(name)) throw new UsageError(`There is no secret ${name}; known: ${known.join(', ')}`);
  }
  const findings = new Findings();
  const fromFiles = files.map(([key, path]) => {
    const rules = { label: `the file of ${key}`, keepsSpaces: key === 'password', findings };
    return [key, readSecretFile(resolve(proc.cwd(), path), rules) ?? ''] as const;
  });
  if (findings.problems.length > 0) throw new ConfigError(findings.problems);
  for (const note of findings.openFiles) proc.stderr.write(`Note: ${note}\n`);
  const answers = typed.length === 0 ? [] : await readTyped(typed, { proc, signal });
  return Object.fromEntries([...fromFiles, ...typed.map((name, index) => [name, answers[index] ?? ''] as const)]);
}

interface SecretContext extends Pick<CommandContext, 'proc' | 'signal'> {
  readonly known: readonly string[];
  /** What is asked for when no option names a secret. */
  readonly unlessGiven: readonly string[];
}

async function readTyped(
  names: readonly string[],
  { proc, signal }: Pick<CommandContext, 'proc' | 'signal'>,
): Promise<readonly string[]> {
  if (proc.stdin.isTTY === true) {
    const ask = createAsker({ input: proc.stdin, output: proc.stderr, signal });
    const answers: string[] = [];
    for (const name of names) answers.push(await ask.secret({ message: `${name} (not shown)` }));
    return answers;
  }
  const lines = (await readAll(proc.stdin)).split(/\r?\n/);
  if (names.some((_, index) => (lines[index] ?? '') === '')) {
    throw new UsageError(
      `stdin has no line for each of ${names.join(', ')}; give one line each, or name files with --secret-file`,
    );
  }
  return lines;
}

export function splitPair(text: string): readonly [key: string, value: string] {
  const at = text.indexOf('=');
  // Not repeated: it may be a secret.
  if (at < 1) throw new UsageError('Settings are given as key=value, such as projectId=…; see docs/configuration.md');
  return [text.slice(0, at), text.slice(at + 1)];
}
