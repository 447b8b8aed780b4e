import type { Clock } from '../clock.ts';
import {
  type CircuitState,
  CLOSED,
  circuitWaitMs,
  DEFAULT_REQUEST_TIMEOUT_MS,
  describeOpen,
  jitterOf,
  type OpenCircuit,
  withFailure,
  withProbe,
} from './circuit.ts';
import {
  type AnnouncedLimit,
  burstOf,
  EMPTY_LINE,
  LEARNT_FOR_MS,
  learntSpacingMs,
  MAX_SLOWDOWN,
  type Pace,
  type PaceLane,
  RECOVERY,
  spacingMs,
  takeSlot,
} from './pace.ts';

export * from './circuit.ts';
export * from './pace.ts';

/**
 * How often one credential may ask, and whether it is worth asking at all. A budget answers "how long to wait" and lets the caller wait, so nothing here
 * needs a timer. The rules are in `pace.ts` and `circuit.ts`.
 */
export interface RequestBudget {
  /** Reserves the lane's next slot when it is at most maxWaitMs away; else reserves nothing. Default lane: fast. */
  take(maxWaitMs: number, lane?: PaceLane): Promise<Taken>;
  /** Whether nobody may ask at this moment. For who waited for a slot: meanwhile, somebody else may have been told to stay away. */
  isClosed(): Promise<boolean>;
  /** Nobody asks before now + waitMs (Retry-After). */
  block(waitMs: number, reason: string): Promise<void>;
  /**
   * A 429 without guidance: spacing doubles (bounded). With `refused`, what was taken for the refused request, all refusals at one pace count once:
   * workers that ran into a limit together do not slow down by the power of their number.
   */
  slowDown(refused?: Taken): Promise<void>;
  /** A success after slowing down: one step back towards the configured spacing; cheap no-op when already there. */
  recover(): Promise<void>;
  /** A limit that the server announced: a lower one than configured is kept to. Cheap no-op for what is known. */
  learn(limit: AnnouncedLimit): Promise<void>;
  readonly circuit: Circuit;
}

export interface Taken {
  readonly granted: boolean;
  /** Until the slot, or until it is worth asking again. */
  readonly waitMs: number;
  /** Between two requests, where that is more than usual. */
  readonly spacingMs?: number;
  /** The request is a probe of an open circuit: to be sent once. */
  readonly probe?: number;
  /** Not granted because the circuit is open. */
  readonly open?: OpenCircuit;
}

export interface Circuit {
  /** Asks the circuit alone, no slot: for requests outside the budget. */
  enter(): Promise<Taken>;
  /** A broken connection, a time-out, a 5xx. `opened` is true for the one failure that opened the circuit; `open` null while it is closed. */
  failed(reason: string, probe?: number): Promise<{ readonly opened: boolean; readonly open: OpenCircuit | null }>;
  /** Any answer of a server that lives. Not null for the one answer that closed the circuit. Cheap no-op when nothing had failed. */
  answered(): Promise<ClosedCircuit | null>;
  /** The probe was not sent, or nobody waited for its answer: the next one may go at once. */
  release(probe: number): Promise<void>;
}

export interface ClosedCircuit {
  readonly reason: string;
  /** Since the first of the failures. */
  readonly outageMs: number;
}

export interface BudgetOptions {
  /** Time limit of one request: a probe is not given up before. Default 30 s. */
  readonly requestTimeoutMs?: number;
  readonly random?: () => number;
}

/** A budget inside one process, for commands that run without a database. Shared by nobody: one per credential and process. */
export function createLocalBudget(requestsPerMinute: number, clock: Clock, options: BudgetOptions = {}): RequestBudget {
  const { requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS, random = Math.random } = options;
  const configured = spacingMs(requestsPerMinute);
  let slowed = configured;
  let learnt: { readonly limit: AnnouncedLimit; readonly at: number } | null = null;
  let line = EMPTY_LINE;
  let circuit: CircuitState = CLOSED;

  function pace(now: number): Pace {
    const announced = learnt !== null && learnt.at + LEARNT_FOR_MS > now ? learnt.limit : null;
    const normalMs = (announced && learntSpacingMs(announced, requestsPerMinute)) ?? configured;
    const burst = burstOf(normalMs > configured && announced !== null ? announced.requests : requestsPerMinute);
    return { normalMs, spacingMs: Math.max(slowed, normalMs), burst: Math.min(burst, burstOf(requestsPerMinute)) };
  }

  function ask(now: number, reserve: () => { readonly granted: boolean; readonly waitMs: number }): Taken {
    const closedForMs = circuitWaitMs(circuit, now);
    const open = describeOpen(circuit, now);
    if (closedForMs > 0 && open !== null) return { granted: false, waitMs: closedForMs, open };
    const { granted, waitMs } = reserve();
    if (!granted || open === null) return { granted, waitMs };
    circuit = withProbe(circuit, now, waitMs, requestTimeoutMs);
    return { granted, waitMs, probe: circuit.probes };
  }

  return {
    async take(maxWaitMs, lane = 'fast') {
      const now = clock.now();
      const current = pace(now);
      const taken = ask(now, () => {
        const slot = takeSlot(line, current, { now, lane, maxWaitMs });
        line = slot.line;
        return slot;
      });
      return current.spacingMs > configured ? { ...taken, spacingMs: current.spacingMs } : taken;
    },
    async isClosed() {
      const now = clock.now();
      return line.blockedUntil > now || circuitWaitMs(circuit, now) > 0;
    },
    async block(waitMs) {
      line = { ...line, blockedUntil: Math.max(line.blockedUntil, clock.now() + waitMs) };
    },
    async slowDown(refused) {
      const { spacingMs: current, normalMs } = pace(clock.now());
      const from = refused === undefined ? current : Math.max(refused.spacingMs ?? configured, normalMs);
      slowed = Math.max(current, Math.min(from * 2, normalMs * MAX_SLOWDOWN));
    },
    async recover() {
      const { spacingMs: current, normalMs } = pace(clock.now());
      if (current > normalMs) slowed = Math.max(slowed * RECOVERY, configured);
    },
    async learn(limit) {
      learnt = learntSpacingMs(limit, requestsPerMinute) === null ? null : { limit, at: clock.now() };
    },
    circuit: {
      enter: async () => ask(clock.now(), () => ({ granted: true, waitMs: 0 })),
      async failed(reason, probe) {
        const now = clock.now();
        const after = withFailure(circuit, { now, reason, probe: probe ?? null, jitter: jitterOf(random()) });
        circuit = after.state;
        return { opened: after.opened, open: describeOpen(circuit, now) };
      },
      async answered() {
        const { openedAt, failingSince, reason } = circuit;
        circuit = CLOSED;
        if (openedAt === null) return null;
        return { reason: reason ?? 'network', outageMs: Math.round(clock.now() - (failingSince ?? openedAt)) };
      },
      async release(probe) {
        if (probe === circuit.probes) circuit = { ...circuit, probeUntil: null };
      },
    },
  };
}
