import type { z } from 'zod';
import type { ConfigProblem } from '../errors.ts';
import { closest } from './suggest.ts';

/** How the operator knows the setting at a path of the checked value. */
export type Label = (path: readonly PropertyKey[]) => string;

/** Stands for a key that may be something else, such as a password. */
export const UNKNOWN_KEY = '(unknown key)';

/** What is found while the configuration is read, all at once. No message repeats a value, which may be a secret. */
export class Findings {
  readonly problems: ConfigProblem[] = [];
  /** Likely slips, such as a misspelt name: notes when all else is well, else beside the problems they explain. */
  readonly hints: ConfigProblem[] = [];
  readonly notes: string[] = [];
  /** Files with secrets that others may read or change, and how to close them. */
  readonly openFiles: string[] = [];

  /** Returns the schema's value, or undefined. Zod's own messages are never used: they may quote the input. */
  check<T>(schema: z.ZodType<T>, input: unknown, label: Label): T | undefined {
    const { data, error } = schema.safeParse(input, { error: () => 'cannot be used' });
    for (const { path, message } of error?.issues ?? []) if (message !== '') this.problem(label(path), message);
    return data;
  }

  problem(variable: string, message: string): void {
    this.problems.push({ variable, message });
  }

  hint(variable: string, message: string): void {
    this.hints.push({ variable, message });
  }

  note(text: string): void {
    this.notes.push(text);
  }

  /** `label` is handed what may be shown of the key. */
  unknownKey(key: string, known: readonly string[], label: (shown: string) => string): void {
    const meant = closest(key, known);
    // Only what looks like a key is repeated: a password on the wrong side of the colon is not.
    const isRepeatable = meant !== null || /^[a-z][a-zA-Z]{0,29}$/.test(key);
    const advice = meant === null ? `known keys are ${known.join(', ')}` : `did you mean ${meant}?`;
    this.problem(label(isRepeatable ? key : UNKNOWN_KEY), `is not a known key; ${advice}`);
  }
}
