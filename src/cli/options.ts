import { InvalidArgumentError } from 'commander';
import type { CommandProcess } from './command.ts';

export const CONNECTION_OPTION = ['--connection <id>', 'only this connection'] as const;
export const JSON_OPTION = ['--json', 'one JSON document on stdout'] as const;

export const repeated = (value: string, before: readonly string[] = []) => [...before, value];

type Handler = (...given: never[]) => Promise<void>;

/** Makes the action of a command. The command is loaded only when it runs, so that `--help` answers at once. */
export const createRunner =
  (proc: CommandProcess) =>
  <Name extends string>(load: () => Promise<Readonly<Record<Name, Handler>>>, name: Name) =>
  async (...given: readonly unknown[]): Promise<void> =>
    // Commander gives the command itself last.
    (await load())[name](...([...given.slice(0, -1), proc] as never[]));

export function share(text: string): number {
  const number = Number(text);
  if (number >= 0 && number <= 1 && /^[\d.]+$/.test(text)) return number;
  throw new InvalidArgumentError('a number from 0 to 1 is needed.');
}

/** Decimal digits only, as in the settings: no sign, no `1e3`, no `0x10`. */
export const wholeNumber =
  (max: number, min = 1) =>
  (text: string): number => {
    const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed.`);
  };
