import { z } from 'zod';
import { type Lane, laneOf, type Pass, type QueuedPass } from '../src/stream.ts';

/** Names and contents of jobs. Processes of two versions read them side by side during an upgrade. */
export const QUEUE_NAMES: Readonly<Record<Lane, string>> = { fast: 'leadmirror-fast', bulk: 'leadmirror-bulk' };

/** A run to do, and a tick of the schedule that asks for one. */
export const RUN = 'run';
export const TICK = 'tick';

const passes = ['backfill', 'incremental', 'reconcile', 'count'] as const satisfies readonly QueuedPass[];

/** Plain text in Redis: ids and counters only, never a secret. */
const runJobSchema = z.object({
  connection: z.string().min(1),
  stream: z.string().min(1),
  pass: z.enum(passes),
  trigger: z.enum(['schedule', 'manual']),
  /** How often the upstream asked to wait, and since when (ms since 1970): bounds the waiting of one job. */
  postponed: z.object({ count: z.number().int().nonnegative(), since: z.number() }).optional(),
  /** The run that yielded and goes on with this job: sync.runs.id. */
  continues: z.string().regex(/^\d+$/).optional(),
  /** Asked for by the pass before, without a tick: when it is due (ms since 1970), and how long after that pass. */
  poll: z.object({ dueAt: z.number(), intervalMs: z.number().positive() }).optional(),
});

export type RunJob = z.infer<typeof runJobSchema>;

/** @throws ZodError */
export const parseRunJob = (data: unknown): RunJob => runJobSchema.parse(data);

type RunOfStream = { readonly connection: string; readonly stream: string; readonly pass: Pass };

/** Runs with the same id do not wait or run beside each other: one per stream and lane. */
export const deduplicationId = ({ connection, stream, pass }: RunOfStream): string =>
  [encodeConnection(connection), stream, laneOf(pass)].join('.');

/** Stable, so that any process at any time means the same schedule. */
export const scheduleId = ({ connection, stream, pass }: RunOfStream): string =>
  [encodeConnection(connection), stream, pass].join('.');

/** Null for an id that is none of ours. */
export function parseScheduleId(id: string): RunOfStream | null {
  const [connection, ...rest] = id.split('.');
  const pass = passes.find((candidate) => candidate === rest.at(-1));
  const stream = rest.slice(0, -1).join('.');
  if (!connection || !stream || pass === undefined) return null;
  try {
    return { connection: decodeURIComponent(connection), stream, pass };
  } catch {
    return null;
  }
}

/** BullMQ refuses `:`, and `.` separates the parts. */
const encodeConnection = (connection: string): string => encodeURIComponent(connection).replaceAll('.', '%2E');
