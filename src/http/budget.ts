import type { Clock } from '../clock.ts';
import type { Lane } from '../stream.ts';
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
import { type DayLimit, type DayUse, isUsedUp, useNow } from './day-limit.ts';
import {
  type AnnouncedLimit,
  burstOf,
  EMPTY_LINE,
  LEARNT_FOR_MS,
  type Line,
  learntSpacingMs,
  MAX_SLOWDOWN,
  type Pace,
  RECOVERY,
  spacingMs,
  takeSlot,
} from './pace.ts';

export * from './circuit.ts';
export * from './day-limit.ts';
export * from './pace.ts';

/** Limits how often one credential may ask, and whether at all. It returns how long to wait; the caller waits. */
export interface RequestBudget {
  /** Reserves the lane's next slot when it is at most maxWaitMs away; else reserves nothing. Default lane: fast. */
  take(maxWaitMs: number, lane?: Lane): Promise<Taken>;
  /** Whether no request may go out now: while one waited for its slot, the server may have refused another. */
  isClosed(): Promise<boolean>;
  /** No request goes out before now + waitMs (Retry-After). */
  block(waitMs: number, reason: string): Promise<void>;
  /** A 429 without guidance: the spacing doubles, bounded. Refusals of slots (`refused`) at one pace count once. */
  slowDown(refused?: Taken): Promise<void>;
  /** A success after slowing down: one step back towards the configured spacing. */
  recover(): Promise<void>;
  /** A limit that the server announced: one that is lower than configured is kept to. */
  learn(limit: AnnouncedLimit): Promise<void>;
  readonly circuit: Circuit;
}

export interface Taken {
  readonly granted: boolean;
  /** Until the slot, or until it is worth asking again. */
  readonly waitMs: number;
  readonly spacingMs?: number;
  /** The request is a probe of an open circuit: to be sent once. */
  readonly probe?: number;
  readonly open?: OpenCircuit;
  /** Not granted because the requests of the day are used up, or those that the lane may have of them. */
  readonly day?: { readonly used: number; readonly limit: number };
}

interface Circuit {
  /** Asks the circuit only, without a slot: for requests outside the budget. */
  enter(): Promise<Taken>;
  /** A broken connection, a timeout, a 5xx. `opened`: by this failure; `open`: null while the circuit is closed. */
  failed(reason: string, probe?: number): Promise<{ readonly opened: boolean; readonly open: OpenCircuit | null }>;
  /** Any answer of a server that lives. Not null for the one answer that closed the circuit. */
  answered(): Promise<ClosedCircuit | null>;
  /** The probe was not sent, or its answer was not waited for: the next one may go at once. */
  release(probe: number): Promise<void>;
}

interface ClosedCircuit {
  readonly reason: string;
  readonly outageMs: number;
}

export interface BudgetOptions {
  /** Time limit of one request: a probe is not given up before. Default 30 s. */
  readonly requestTimeoutMs?: number;
  readonly random?: () => number;
  readonly day?: DayLimit | undefined;
}

export interface BudgetState {
  readonly line: Line;
  readonly blockedReason: string | null;
  readonly slowedMs: number;
  /** A lower limit that the server announced, and when it was seen last. */
  readonly learnt: { readonly spacingMs: number; readonly requests: number; readonly at: number } | null;
  readonly circuit: CircuitState;
  readonly requests: number;
  readonly day: DayUse | null;
}

export interface BudgetStorage {
  /** Applies a rule to the state and stores the result; once more, with a newer state, when another was faster. */
  change<T>(rule: (state: BudgetState, now: number) => readonly [state: BudgetState, result: T]): Promise<T>;
  /** The state as this process saw it last; null before the first look. */
  readonly last: BudgetState | null;
}

/** A lower limit that is still announced is noted again this often, so that it does not run out. */
const NOTE_AGAIN_MS = LEARNT_FOR_MS / 6;

/** The budget of one credential: the rules of `pace.ts` and `circuit.ts`, applied to a stored state. */
export function createBudget(
  storage: BudgetStorage,
  requestsPerMinute: number,
  options: BudgetOptions = {},
): RequestBudget {
  const { requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS, random = Math.random, day: limit } = options;
  const configured = spacingMs(requestsPerMinute);

  function paceOf({ learnt, slowedMs }: BudgetState, now: number): Pace {
    const announced =
      learnt !== null && learnt.at + LEARNT_FOR_MS > now && learnt.spacingMs > configured ? learnt : null;
    const normalMs = announced?.spacingMs ?? configured;
    const burst = Math.min(burstOf(announced?.requests ?? requestsPerMinute), burstOf(requestsPerMinute));
    return { normalMs, spacingMs: Math.max(slowedMs, normalMs), burst };
  }

  const ask = (lane: Lane | null, maxWaitMs: number): Promise<Taken> =>
    storage.change<Taken>((state, now) => {
      const pace = paceOf(state, now);
      const slower = lane !== null && pace.spacingMs > configured ? { spacingMs: pace.spacingMs } : {};
      const open = describeOpen(state.circuit, now);
      const closedForMs = circuitWaitMs(state.circuit, now);
      if (closedForMs > 0 && open !== null) return [state, { granted: false, waitMs: closedForMs, open, ...slower }];
      const day = lane === null || limit === undefined ? state.day : useNow(state.day, limit, now);
      if (lane !== null && limit !== undefined && day !== null && isUsedUp(day, limit, lane)) {
        const used = { used: day.requests, limit: limit.requests };
        return [state, { granted: false, waitMs: day.endsAt - now, day: used, ...slower }];
      }
      const slot = lane === null ? null : takeSlot(state.line, pace, { now, lane, maxWaitMs });
      // A slot of the next day is counted there, so it is taken then.
      if (slot?.granted && limit !== undefined && day !== null && now + slot.waitMs >= day.endsAt)
        return [state, { granted: false, waitMs: day.endsAt - now, ...slower }];
      const { granted, waitMs } = slot ?? { granted: true, waitMs: 0 };
      const isProbe = granted && open !== null;
      const circuit = isProbe ? withProbe(state.circuit, now, waitMs, requestTimeoutMs) : state.circuit;
      const requests = state.requests + (granted && lane !== null ? 1 : 0);
      const taken = granted && lane !== null && day !== null ? { ...day, requests: day.requests + 1 } : day;
      const next =
        slot === null && !isProbe
          ? state
          : { ...state, line: slot?.line ?? state.line, circuit, requests, day: limit === undefined ? null : taken };
      return [next, { granted, waitMs, ...(isProbe && { probe: circuit.probes }), ...slower }];
    });

  const update = (rule: (state: BudgetState, now: number) => BudgetState): Promise<void> =>
    storage.change((state, now) => [rule(state, now), undefined]);

  return {
    take: (maxWaitMs, lane = 'fast') => ask(lane, maxWaitMs),
    isClosed: () =>
      storage.change((state, now) => [state, state.line.blockedUntil > now || circuitWaitMs(state.circuit, now) > 0]),
    block: (waitMs, reason) =>
      update((state, now) => {
        const blockedUntil = Math.max(state.line.blockedUntil, now + waitMs);
        return { ...state, line: { ...state.line, blockedUntil }, blockedReason: reason };
      }),
    slowDown: (refused) =>
      update((state, now) => {
        const { spacingMs: current, normalMs } = paceOf(state, now);
        const from = refused === undefined ? current : Math.max(refused.spacingMs ?? configured, normalMs);
        const slowedMs = Math.max(current, Math.min(from * 2, normalMs * MAX_SLOWDOWN));
        return { ...state, slowedMs };
      }),
    async recover() {
      if (storage.last !== null && storage.last.slowedMs <= configured) return;
      await update((state, now) => {
        const { spacingMs: current, normalMs } = paceOf(state, now);
        return current <= normalMs ? state : { ...state, slowedMs: Math.max(state.slowedMs * RECOVERY, configured) };
      });
    },
    async learn(limit) {
      const spacing = learntSpacingMs(limit, requestsPerMinute);
      const known = storage.last?.learnt ?? null;
      if (spacing === null && storage.last !== null && known === null) return;
      await update((state, now) => {
        const { learnt } = state;
        if (spacing === null) return learnt === null ? state : { ...state, learnt: null };
        const isNoted = learnt?.spacingMs === spacing && now - learnt.at < NOTE_AGAIN_MS;
        const requests = Math.floor(limit.requests);
        return isNoted ? state : { ...state, learnt: { spacingMs: spacing, requests, at: now } };
      });
    },
    circuit: {
      enter: () => ask(null, 0),
      failed: (reason, probe) => {
        const jitter = jitterOf(random());
        return storage.change((state, now) => {
          const after = withFailure(state.circuit, { now, reason, probe: probe ?? null, jitter });
          const result = { opened: after.opened, open: describeOpen(after.state, now) };
          return [{ ...state, circuit: after.state }, result];
        });
      },
      async answered() {
        const { last } = storage;
        if (last !== null && last.circuit.failures === 0 && last.circuit.openedAt === null) return null;
        return storage.change((state, now) => {
          const { openedAt, failingSince, reason, failures } = state.circuit;
          if (failures === 0 && openedAt === null) return [state, null];
          const outageMs = Math.round(now - (failingSince ?? openedAt ?? now));
          return [{ ...state, circuit: CLOSED }, openedAt === null ? null : { reason: reason ?? 'network', outageMs }];
        });
      },
      release: (probe) =>
        update((state) =>
          probe === state.circuit.probes ? { ...state, circuit: { ...state.circuit, probeUntil: null } } : state,
        ),
    },
  };
}

/** A budget inside one process, for commands that run without a database: one for each credential and process. */
export function createLocalBudget(requestsPerMinute: number, clock: Clock, options: BudgetOptions = {}): RequestBudget {
  const slowedMs = spacingMs(requestsPerMinute);
  const start = { line: EMPTY_LINE, blockedReason: null, learnt: null, circuit: CLOSED, requests: 0, day: null };
  let state: BudgetState = { ...start, slowedMs };
  const storage: BudgetStorage = {
    get last() {
      return state;
    },
    async change(rule) {
      const [next, result] = rule(state, clock.now());
      state = next;
      return result;
    },
  };
  return createBudget(storage, requestsPerMinute, options);
}
