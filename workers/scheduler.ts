import { cleanUp } from '../src/app/clean-up.ts';
import type { App } from '../src/app.ts';
import { unlessAborted } from '../src/clock.ts';
import type { ConfigChanges, StreamSchedule } from '../src/config.ts';
import { isAbort } from '../src/errors.ts';
import type { Logger } from '../src/logger.ts';
import { readConnectionsElsewhere, readLedConnections } from '../src/store/engine/processes.ts';
import { registerStreams } from '../src/store/engine/streams.ts';
import type { Lane, QueuedPass } from '../src/stream.ts';
import { type Leadership, tryLead } from './leader.ts';
import type { RunQueue } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';
import { enqueueRun, type Queues } from './queues.ts';
import { parseScheduleId } from './run-job.ts';
import { compareSchedules, inGroups, putSchedule, wantedSchedules } from './schedules.ts';
import { findUnfinished, isDue } from './unfinished.ts';

/**
 * Role scheduler. One process leads: it makes queue and database agree with its configuration, again and again, so that
 * a queue that lost everything is whole within a round. It runs no stream itself. Accounts that it does not know are
 * scheduled by the processes that do.
 *
 * A schedule's job (a tick) only asks for the run: BullMQ makes the next tick when this one is taken, and a tick that
 * carried the run itself, or its deduplication, would either run beside a slow predecessor or break the chain.
 */
interface SchedulerParts {
  readonly app: App;
  readonly queues: Queues;
  readonly logger: Logger;
  readonly roundMs?: number;
  readonly standbyMs?: number;
  readonly onRound?: (round: RoundReport) => void;
}

export type RoundReport = { readonly added: number; readonly removed: number; readonly enqueued: number };

const ROUND_MS = 60_000;
const STANDBY_MS = 5_000;
const LANES: readonly Lane[] = ['fast', 'bulk'];
const CLEAN_UP_MS = 24 * 3_600_000;
/** After one that failed, or left something. */
const CLEAN_UP_RETRY_MS = 3_600_000;
/** Fewer unfinished passes are simply asked for again. */
const MANY = 200;

export class Scheduler {
  isLeading = false;
  readonly #parts: SchedulerParts;
  readonly #stopping = new AbortController();
  readonly #signal = this.#stopping.signal;
  readonly #running: Promise<void>;
  readonly #leave: () => void;
  /** Ends the pause between two rounds. */
  #wake = new AbortController();
  /** The streams whose schedules the last complete round compared in every detail. */
  #compared: App['streams'] | null = null;
  /** Connections that came or changed since the last round: what failed before may work now. */
  #fresh = new Set<string>();
  #trouble: string | null = null;
  #cleanedAt = Number.NEGATIVE_INFINITY;
  #assistAt = Number.NEGATIVE_INFINITY;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#running = this.#run();
    this.#leave = parts.app.onReload((changes) => this.#follow(changes));
  }

  async stop(): Promise<void> {
    this.#leave();
    this.#stopping.abort();
    await this.#running;
  }

  /** Applies a changed configuration without waiting for the next round. */
  #follow({ added, changed }: ConfigChanges): void {
    for (const id of [...added, ...changed]) this.#fresh.add(id);
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    while (!this.#signal.aborted) {
      const leadership = await this.#attempt('take the lead', () => this.#tryLead());
      if (leadership) await this.#lead(leadership);
      else await this.#sleep(this.#parts.standbyMs ?? STANDBY_MS, this.#signal);
    }
  }

  async #tryLead(): Promise<Leadership | null> {
    const leadership = await tryLead(this.#parts.app.database.url);
    if (leadership === null) await this.#assist();
    return leadership;
  }

  /** Another process leads. Accounts that its configuration lacks are scheduled from here, as often as its own. */
  async #assist(): Promise<void> {
    const { app, queues, roundMs = ROUND_MS } = this.#parts;
    if (app.clock.now() < this.#assistAt) return;
    const { prisma } = app.database;
    const led = await readLedConnections(prisma);
    if (led === null) return;
    this.#assistAt = app.clock.now() + roundMs;
    const own = app.streams.filter(({ connectionId }) => !led.has(connectionId));
    if (own.length === 0) return;
    await registerStreams(prisma, own, { retires: 'unless_led' });
    const wanted = wantedSchedules(app.streams, app.clock.now()).filter(({ job }) => !led.has(job.connection));
    for (const lane of LANES) {
      const queue = queues.lanes[lane];
      const ours = wanted.filter((schedule) => schedule.lane === lane);
      const { missing } = await compareSchedules(queue, ours, true);
      await inGroups(missing, this.#signal, (schedule) => putSchedule(queue, schedule));
    }
    await this.#enqueueUnfinished(new Set(), this.#signal, led);
  }

  async #lead(leadership: Leadership): Promise<void> {
    const { logger, roundMs = ROUND_MS } = this.#parts;
    const term = AbortSignal.any([this.#signal, leadership.lost]);
    this.isLeading = true;
    logger.info('this process leads the schedule');
    let isFirst = true;
    while (!term.aborted) {
      this.#wake = new AbortController();
      // A queue that is away can make a question wait for hours.
      const done = await this.#attempt('go round', () => unlessAborted(this.#round(isFirst, term), term));
      if (done !== null) isFirst = false;
      await this.#sleep(roundMs, AbortSignal.any([term, this.#wake.signal]));
    }
    this.isLeading = false;
    await leadership.resign();
    if (!this.#signal.aborted) logger.warn('this process lost the lead of the schedule; another one takes over');
  }

  /** `isFirst`: compares every detail, and tries at once what failed: the operator may just have repaired it. */
  async #round(isFirst: boolean, term: AbortSignal): Promise<RoundReport> {
    const { app, queues, onRound } = this.#parts;
    const fresh = [...this.#fresh];
    await app.assertStreams();
    const { streams } = app;
    const wanted = wantedSchedules(streams, app.clock.now());
    const inDetail = isFirst || streams !== this.#compared;
    const report = { added: 0, removed: 0, enqueued: 0 };
    // A daemon with a configuration of its own keeps its schedules.
    const elsewhere = await readConnectionsElsewhere(app.database.prisma);
    for (const lane of LANES) {
      const queue = queues.lanes[lane];
      const ours = wanted.filter((schedule) => schedule.lane === lane);
      const { missing, foreign } = await compareSchedules(queue, ours, inDetail);
      const unwanted = foreign.filter((id) => !elsewhere.has(parseScheduleId(id)?.connection ?? ''));
      report.added += missing.length;
      report.removed += unwanted.length;
      await inGroups(missing, term, (schedule) => putSchedule(queue, schedule));
      await inGroups(unwanted, term, (id) => queue.removeJobScheduler(id));
    }
    term.throwIfAborted();
    this.#compared = streams;
    report.enqueued = await this.#enqueueUnfinished(isFirst ? null : new Set(fresh), term);
    for (const id of fresh) this.#fresh.delete(id);
    await this.#cleanUp();
    if (report.added + report.removed > 0) this.#parts.logger.info(report, 'schedules put right');
    onRound?.(report);
    return report;
  }

  /** `hopeful`: connections whose failed walks are tried at once; null: all. `others`: those of another process. */
  async #enqueueUnfinished(
    hopeful: ReadonlySet<string> | null,
    term: AbortSignal,
    others: ReadonlySet<string> = new Set(),
  ): Promise<number> {
    const { app, queues } = this.#parts;
    const unfinished = await findUnfinished(app.database.prisma);
    const due = unfinished.filter(
      (walk) =>
        !others.has(walk.connection) &&
        isScheduled(walk.pass, app.scheduleOf(walk.connection, walk.stream)) &&
        (hopeful === null || hopeful.has(walk.connection) || isDue(walk)),
    );
    // Thousands of first reads wait for hours. As long as the queue holds as many jobs as there is to do, it has not
    // lost them.
    const isDelayed = due.length > MANY && hopeful !== null && (await countRuns(queues.lanes.bulk)) >= due.length;
    // What is new in the configuration was never in it.
    const asked = isDelayed ? due.filter(({ connection }) => hopeful?.has(connection)) : due;
    await inGroups(asked, term, ({ connection, stream, pass }) =>
      enqueueRun(queues, { connection, stream, pass, trigger: 'schedule' }),
    );
    return asked.length;
  }

  async #cleanUp(): Promise<void> {
    const { app, logger } = this.#parts;
    const now = app.clock.now();
    if (now - this.#cleanedAt < CLEAN_UP_MS) return;
    this.#cleanedAt = now - CLEAN_UP_MS + CLEAN_UP_RETRY_MS;
    const hasMore = await cleanUp(app, { logger, signal: this.#signal });
    if (!hasMore) this.#cleanedAt = now;
  }

  /** Null when it failed: logged once, not every round. */
  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T | null> {
    try {
      const result = await work();
      if (this.#trouble !== null) this.#parts.logger.info('the scheduler works again');
      this.#trouble = null;
      return result;
    } catch (error) {
      if (isAbort(error) || this.#signal.aborted) return null;
      const reason = describeError(error);
      if (this.#trouble !== reason)
        this.#parts.logger.warn({ reason }, `the scheduler could not ${what}; trying again`);
      this.#trouble = reason;
      return null;
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#parts.app.clock.sleep(ms, signal).catch(() => {});
  }
}

/** Whether the round may ask for an unfinished walk: the first full read of any stream that is read by schedule. */
function isScheduled(pass: QueuedPass, schedule: StreamSchedule | undefined): boolean {
  if (schedule === undefined) return false;
  return schedule.reconcile !== null || (pass === 'backfill' && schedule.incremental !== null);
}

/** Runs that wait or are under way. Each schedule has a job of its own among them, its next tick. */
async function countRuns(queue: RunQueue): Promise<number> {
  const [counts, ticks] = await Promise.all([
    queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized'),
    queue.getJobSchedulersCount(),
  ]);
  return Object.values(counts).reduce((sum, count) => sum + count, 0) - ticks;
}
