/**
 * How much memory does a first full read need, and does it grow with the number of rows? `leadmirror sync` as people start it; its highest resident memory is
 * the kernel's own word (VmHWM), looked at until the process ends. Linux only.
 */
import pg from 'pg';
import type { Cli } from '../cli.ts';
import { createTestDatabase } from '../postgres.ts';
import { type BenchStream, startUpstream } from './children.ts';
import type { Figure, PartReport } from './figures.ts';
import { meter } from './process-meter.ts';

export interface MemoryOptions {
  readonly cli: Cli;
  /** Numbers of objects, smallest first. */
  readonly sizes: readonly number[];
  readonly bytesEach: number;
  /** Requests with transcripts of 50 KB; 0 leaves them out. */
  readonly transcripts: number;
  readonly onProgress?: (text: string) => void;
}

export interface MemoryRead {
  readonly stream: BenchStream;
  readonly rows: number;
  readonly bytesEach: number;
  readonly peakMb: number;
  readonly mirrored: number;
}

export interface MemoryMeasured {
  readonly reads: readonly MemoryRead[];
}

const BOUND_MB = 200;
/** What a longer run may have more than a short one: a heap is not the same size every time. */
const MOST_GROWTH = 1.15;
const TRANSCRIPT_BYTES = 50_000;

export async function measureMemory(options: MemoryOptions): Promise<MemoryMeasured> {
  const { cli, sizes, bytesEach, transcripts, onProgress } = options;
  // Nothing to read first: what the program itself takes.
  const wanted: Omit<MemoryRead, 'peakMb' | 'mirrored'>[] = [0, ...sizes].map((rows) => ({
    stream: 'leads',
    rows,
    bytesEach,
  }));
  if (transcripts > 0) wanted.push({ stream: 'requests', rows: transcripts, bytesEach: TRANSCRIPT_BYTES });
  const reads: MemoryRead[] = [];
  for (const each of wanted) {
    const read = await readOnce(cli, each);
    reads.push(read);
    onProgress?.(`memory: ${read.peakMb} MB at ${read.rows} ${read.stream} of ${read.bytesEach} bytes`);
  }
  return { reads };
}

export function describeMemory({ reads }: MemoryMeasured): PartReport {
  const figures = reads.map(({ stream, rows, bytesEach, peakMb }): Figure => {
    if (rows === 0) return { name: 'peak with nothing to read', value: `${peakMb} MB` };
    const name = `peak at ${rows.toLocaleString('en')} ${stream} of ${bytesEach.toLocaleString('en')} bytes`;
    return {
      name,
      value: `${peakMb} MB`,
      measured: peakMb,
      goal: `at most ${BOUND_MB} MB`,
      isReached: peakMb <= BOUND_MB,
    };
  });
  const plain = reads.filter(({ stream, rows }) => stream === 'leads' && rows > 0);
  const [smallest, largest] = [plain[0], plain.at(-1)];
  if (smallest !== undefined && largest !== undefined && smallest !== largest) {
    const growth = largest.peakMb / smallest.peakMb;
    figures.push({
      name: `peak at ${largest.rows.toLocaleString('en')} / at ${smallest.rows.toLocaleString('en')}`,
      ...{
        value: growth.toFixed(2),
        measured: growth,
        goal: `at most ${MOST_GROWTH}`,
        isReached: growth <= MOST_GROWTH,
      },
    });
  }
  return {
    part: 'memory',
    subject: 'resident memory of `leadmirror sync`, one stream, first full read, once each',
    figures,
    wrong: reads.flatMap(({ rows, mirrored, stream }) =>
      mirrored === rows ? [] : [`${mirrored} of ${rows} ${stream} were in the mirror`],
    ),
    notMeasured: [
      'the memory of Postgres, and of the daemon with many streams at once',
      `more than ${Math.max(...reads.map(({ rows }) => rows)).toLocaleString('en')} objects`,
    ],
    rounds: reads,
  };
}

async function readOnce(cli: Cli, read: Omit<MemoryRead, 'peakMb' | 'mirrored'>): Promise<MemoryRead> {
  const { stream, rows, bytesEach } = read;
  const upstream = await startUpstream(cli, { [stream]: rows, bytesEach });
  const database = await createTestDatabase();
  try {
    const env = { ...upstream.variables, DATABASE_URL: database.url };
    const { peakMb } = await meter(`sync of ${rows} ${stream}`, () =>
      cli.start(['sync', `tiledesk.${stream}`], { env }),
    );
    return { ...read, peakMb, mirrored: await countRows(database.url, stream) };
  } finally {
    await upstream.close();
    await database.drop();
  }
}

export async function countRows(url: string, stream: BenchStream): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ rows: string }>(`select count(*) as rows from tiledesk.${stream}`);
    return Number(rows[0]?.rows);
  } finally {
    await client.end();
  }
}
