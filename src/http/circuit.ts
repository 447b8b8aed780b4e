/**
 * The circuit of one credential: after failures in a row no request is sent until a wake-up time.
 *
 *   closed --(CIRCUIT_FAILURES in a row)--> open --(wake-up time)--> one probe --(any answer)--> closed
 *                                            ^                          |
 *                                            +---- longer wait ---------+ (fails, or never returns)
 *
 * Failures are broken connections, timeouts and 5xx of all processes; a 4xx comes from a server that lives.
 */

/** More than one request's attempts, so that a single stubborn request does not stop its neighbours. */
export const CIRCUIT_FAILURES = 10;
export const FIRST_WAIT_MS = 15_000;
export const MAX_WAIT_MS = 5 * 60_000;
/** Waits are up to this part shorter, so that many credentials of one server do not all wake at once. */
const JITTER = 0.1;
/** A request that comes while another one is the probe waits this long. */
const PROBE_POLL_MS = 2_000;
/** A probe that takes longer than its time limit and this is given up: its process may have ended. */
const PROBE_SLACK_MS = 15_000;
export const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;

export interface CircuitState {
  readonly failures: number;
  readonly failingSince: number | null;
  /** `network`, `timeout` or a status: `503`. */
  readonly reason: string | null;
  readonly openedAt: number | null;
  readonly wakeAt: number | null;
  readonly probeUntil: number | null;
  /** Probes since it opened. The last one's number names it. */
  readonly probes: number;
}

export const CLOSED: CircuitState = {
  failures: 0,
  failingSince: null,
  reason: null,
  openedAt: null,
  wakeAt: null,
  probeUntil: null,
  probes: 0,
};

export interface OpenCircuit {
  readonly reason: string;
  readonly failingSince: Date;
  readonly failures: number;
  readonly nextTryAt: Date;
  readonly waitMs: number;
}

export function describeOpen(state: CircuitState, now: number): OpenCircuit | null {
  if (state.openedAt === null) return null;
  return {
    reason: state.reason ?? 'network',
    failingSince: new Date(state.failingSince ?? state.openedAt),
    failures: state.failures,
    nextTryAt: new Date(state.wakeAt ?? now),
    waitMs: circuitWaitMs(state, now),
  };
}

/** Returns how long to wait; 0 when closed, or when a probe is due. */
export function circuitWaitMs({ openedAt, wakeAt, probeUntil }: CircuitState, now: number): number {
  if (openedAt === null) return 0;
  if (wakeAt !== null && now < wakeAt) return Math.ceil(wakeAt - now);
  return probeUntil !== null && now < probeUntil ? Math.ceil(Math.min(probeUntil - now, PROBE_POLL_MS)) : 0;
}

export function withProbe(state: CircuitState, now: number, waitMs: number, requestTimeoutMs: number): CircuitState {
  return { ...state, probes: state.probes + 1, probeUntil: now + waitMs + requestTimeoutMs + PROBE_SLACK_MS };
}

/** `probe`: the number of the probe that failed; null for any other request. `jitter` from {@link jitterOf}. */
export function withFailure(
  state: CircuitState,
  { now, reason, probe, jitter }: { now: number; reason: string; probe: number | null; jitter: number },
): { readonly state: CircuitState; readonly opened: boolean } {
  const failures = state.failures + 1;
  const failed = { ...state, failures, reason, failingSince: state.failingSince ?? now };
  if (state.openedAt === null) {
    if (failures < CIRCUIT_FAILURES) return { state: failed, opened: false };
    return { state: { ...failed, openedAt: now, wakeAt: now + waitAfterMs(0) * jitter }, opened: true };
  }
  // Requests that were on their way when it opened do not prolong it, and neither does a probe that was given up.
  if (probe !== state.probes || state.probeUntil === null) return { state: failed, opened: false };
  return { state: { ...failed, wakeAt: now + waitAfterMs(probe) * jitter, probeUntil: null }, opened: false };
}

function waitAfterMs(probes: number): number {
  return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(probes, 20));
}

export const jitterOf = (random: number): number => 1 - JITTER * random;

/** `503 since 02:10 UTC`: the day is named when it is not today. */
export function formatOutage(
  { reason, failingSince }: Pick<OpenCircuit, 'reason' | 'failingSince'>,
  now: Date,
): string {
  return `${REASONS[reason] ?? reason} since ${formatTime(failingSince, now)}`;
}

const REASONS: Readonly<Record<string, string>> = { network: 'no connection', timeout: 'no answer in time' };

/** `02:10 UTC`, or `2026-11-21 02:10 UTC` on another day. */
export function formatTime(time: Date, now: Date): string {
  const [day, clock = ''] = time.toISOString().split('T');
  const isToday = day === now.toISOString().slice(0, 10);
  return `${isToday ? '' : `${day} `}${clock.slice(0, 5)} UTC`;
}
