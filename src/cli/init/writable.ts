import { formatEntry } from './dot-env.ts';

/** Tells at the question already what `.env` cannot hold. */
export const writable =
  (name: string) =>
  (text: string): string | undefined =>
    formatEntry(name, text) === null
      ? `.env cannot hold this one: no kind of quotes fits its characters. Put it into a file, and name that file in ${name}_FILE.`
      : undefined;
