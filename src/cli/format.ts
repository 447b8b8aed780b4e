import { duration } from '../ops/view/format.ts';

export { count as formatCount, counted } from '../counted.ts';

/** `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`. */
export function formatAge(since: Date | null, nowMs: number): string {
  if (since === null) return 'never';
  return `${duration((nowMs - since.getTime()) / 1000)} ago`;
}

/** `now`, `in 12 s`, `in 3 min`, `in 5 h`. */
export function formatUntil(at: Date, nowMs: number): string {
  const seconds = Math.round((at.getTime() - nowMs) / 1000);
  return seconds <= 0 ? 'now' : `in ${duration(seconds)}`;
}

/** `every 15 s`, `every 5 min`; nothing where the interval does not adapt. */
export const formatInterval = (seconds: number | null): string =>
  seconds === null ? '' : `every ${duration(seconds)}`;

export function formatSeconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** Where the package's own docs explain these codes; each code once. */
export function helpLines(codes: readonly (string | undefined)[]): string[] {
  const known = new Set(codes.filter((code) => code !== undefined));
  return [...known].map((code) => `docs/troubleshooting.md#${code}`);
}

export type Printer = ReturnType<typeof createPrinter>;

/** With `--json` one document, and nothing else goes to stdout. */
export function createPrinter(stdout: NodeJS.WritableStream, json = false) {
  const write = (text: string): void => void stdout.write(`${text}\n`);
  return {
    print(line = ''): void {
      if (!json) write(line);
    },
    /** Big integers are written as numbers; run ids stay far below 2^53. */
    printResult(document: unknown, lines: () => readonly string[]): void {
      const plain = (_: string, value: unknown) => (typeof value === 'bigint' ? Number(value) : value);
      for (const text of json ? [JSON.stringify(document, plain, 2)] : lines()) write(text);
    },
  };
}
