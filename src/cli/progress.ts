import { progressOf, type RunProgress } from '../ops/progress.ts';
import { duration } from '../ops/view/format.ts';
import type { RunCounts } from '../store/engine/runs.ts';
import type { Pass } from '../stream.ts';
import { counted, formatCount } from './format.ts';
import { type Output, screenOf } from './terminal.ts';

/** Long work as it goes on, several runs side by side; on stderr, so that stdout stays the result. */
export interface ProgressView {
  /** True on a terminal, where a total is worth its query. */
  readonly isLive: boolean;
  track(label: string, walk?: WalkSize): Track;
  stop(): void;
}

export interface Track {
  show(counts: Counts): void;
  /** Records of this walk that an earlier run of it has read. */
  readBefore(count: number): void;
  end(): void;
}

export interface WalkSize {
  readonly pass: Pass;
  readonly aliveRows: number;
  readonly isFirstRead: boolean;
}

type Counts = Pick<RunCounts, 'read'> & Partial<Pick<RunCounts, 'requests' | 'pages'>>;

/** Prints a line now and then where there is no terminal. */
const PLAIN_INTERVAL_MS = 10_000;
const FRAME_MS = 200;

const NO_TRACK: Track = { show: () => {}, readBefore: () => {}, end: () => {} };

/** On a terminal a living line for each run, otherwise now and then a plain one. */
export async function createProgress(
  { isQuiet }: { readonly isQuiet: boolean },
  output: Output,
): Promise<ProgressView> {
  if (isQuiet) return { isLive: false, track: () => NO_TRACK, stop: () => {} };
  return screenOf(output).isLive ? createLiveProgress(output) : createPlainProgress(output);
}

interface Tracked {
  readonly label: string;
  readonly walk: WalkSize | undefined;
  readonly startedAt: Date;
  counts: Counts | null;
  before: number;
}

async function createLiveProgress(output: Output): Promise<ProgressView> {
  // Only a terminal needs it: loading it takes 40 ms of every start.
  const { default: ora } = await import('ora');
  const spinner = ora({
    stream: output as NodeJS.WriteStream,
    discardStdin: false,
    interval: FRAME_MS,
    // Decided already, and by the same rule.
    isEnabled: true,
  });
  const tracked = new Set<Tracked>();
  const draw = () => {
    const { width, height } = screenOf(output);
    const lines = [...tracked].flatMap((one) => (one.counts === null ? [] : [describeLive(one, one.counts, width)]));
    if (lines.length === 0) {
      spinner.stop();
      return;
    }
    // What is taller than the screen cannot be replaced any more.
    const more = lines.length - (height - 2);
    const shown = more > 0 ? [...lines.slice(0, height - 3), `and ${more + 1} more`] : lines;
    spinner.text = shown.join('\n  ');
    if (!spinner.isSpinning) spinner.start();
  };
  return {
    isLive: true,
    track(label, walk) {
      const one: Tracked = { label, walk, startedAt: new Date(), counts: null, before: 0 };
      tracked.add(one);
      return {
        show(counts) {
          one.counts = counts;
          draw();
        },
        readBefore(count) {
          one.before = count;
        },
        end() {
          tracked.delete(one);
          draw();
        },
      };
    },
    stop: () => void spinner.stop(),
  };
}

function describeLive({ label, walk, startedAt, before }: Tracked, counts: Counts, width: number): string {
  const { read, requests = 0, pages = 0 } = counts;
  const { pass = 'incremental', aliveRows = 0, isFirstRead = true } = walk ?? {};
  const running = { pass, started_at: startedAt, pages, requests, read, read_before: before };
  const progress = progressOf(
    { ...running, connection_id: '', stream: '', run_id: null },
    { aliveRows, isFirstRead, nowMs: Date.now() },
  );
  return progressLine(label, progress, width);
}

function createPlainProgress(output: Output): ProgressView {
  let printedAt = performance.now();
  return {
    isLive: false,
    track: (label) => ({
      ...NO_TRACK,
      show({ read, requests }) {
        if (performance.now() - printedAt < PLAIN_INTERVAL_MS) return;
        printedAt = performance.now();
        const asked = requests === undefined ? '' : `, ${counted(requests, 'request')}`;
        output.write(`${label}: ${formatCount(read)} read${asked}\n`);
      },
    }),
    stop: () => {},
  };
}

const BAR = 20;

/** `leads reconcile  ████░░░░  40 %  10,000 of 25,000 rows  820/s  18 s left`; what does not fit is left out. */
export function progressLine(
  label: string,
  progress: Omit<RunProgress, 'started_at' | 'run_id'>,
  width: number,
): string {
  const { read, expected, rows_per_second: rate, eta_seconds: eta, requests, pages } = progress;
  const share = expected === null || expected === 0 ? null : Math.min(1, read / expected);
  const full = Math.round((share ?? 0) * BAR);
  const parts = [
    label,
    ...(share === null
      ? []
      : [`${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${String(Math.floor(share * 100)).padStart(3)} %`]),
    expected === null ? counted(read, 'row') : `${formatCount(read)} of about ${counted(expected, 'row')}`,
    ...(rate === null ? [] : [`${formatCount(Math.round(rate))}/s`]),
    ...(eta === null || share === 1 ? [] : [`${duration(eta)} left`]),
    ...(pages > 0 ? [counted(pages, 'page')] : []),
    ...(requests > 0 ? [counted(requests, 'request')] : []),
  ];
  // Two for an indent, two for a spinner.
  const room = Math.max(20, width - 4);
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`;
    if (longer.length > room) break;
    line = longer;
  }
  return line === '' ? `${label.slice(0, room - 1)}…` : line;
}
