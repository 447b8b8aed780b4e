import Table from 'cli-table3';

/** A plain table: columns set off by two spaces, no frame, readable in a pipe. */
export function formatTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const noFrame = Object.fromEntries(FRAME_PARTS.map((part) => [part, '']));
  const table = new Table({
    head: [...head],
    chars: { ...noFrame, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const FRAME_PARTS = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
];

export const formatCount = (count: number | bigint): string => count.toLocaleString('en-US');

/** `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`. */
export function formatAge(since: Date | null, nowMs: number): string {
  if (since === null) return 'never';
  const seconds = Math.max(0, Math.round((nowMs - since.getTime()) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

export function formatSeconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** The document of `--json`: nothing else goes to stdout. Big integers are written as numbers; run ids stay far below 2^53. */
export function printJson(document: unknown): void {
  const text = JSON.stringify(document, (_, value) => (typeof value === 'bigint' ? Number(value) : value), 2);
  process.stdout.write(`${text}\n`);
}

export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}
