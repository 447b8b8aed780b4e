import type { Clock } from '../clock.ts';
import { errorCode, isAbort } from '../errors.ts';
import { type Span, type Tracer, within } from '../trace.ts';
import type { ProcessMetrics } from './metrics/process-metrics.ts';

/** Something that sends requests; the app wraps its HTTP client in one that is watched. */
export interface Sender<Request, Response> {
  send(request: Request): Promise<Response>;
}

export interface RunKey {
  readonly connection: string;
  readonly stream: string;
  readonly pass: string;
}

const COUNTED = ['read', 'created', 'updated', 'unchanged', 'deleted', 'quarantined'] as const;

interface RunOutcome {
  readonly runId?: bigint;
  readonly outcome: string;
  readonly error?: { readonly code: string } | null;
  /** What this turn of the run counted, not the run as a whole. */
  readonly slice?: Readonly<Record<(typeof COUNTED)[number], number>>;
}

type VerifyCounts = { readonly error: unknown; readonly findings: readonly unknown[]; readonly repaired: number };

/** Puts metrics and traces around the parts of the app, from outside: the parts themselves know of neither. */
export class Instruments {
  readonly #metrics: ProcessMetrics | null;
  readonly #tracer: Tracer | null;

  constructor(metrics: ProcessMetrics | null, tracer: Tracer | null) {
    this.#metrics = metrics;
    this.#tracer = tracer;
  }

  /** Counts and times each request, and makes it a span. */
  sender<Q extends { readonly method: string; readonly url: string }, R extends { readonly status: number }>(
    source: string,
    inner: Sender<Q, R>,
  ): Sender<Q, R> {
    const metrics = this.#metrics;
    return {
      send: (request) =>
        within(this.#openRequest(request), async (span) => {
          const end = metrics?.requestSeconds.startTimer({ source });
          let status = 'aborted';
          try {
            const response = await inner.send(request);
            // 429 is a class of its own, because operators look for it.
            status = response.status === 429 ? '429' : `${Math.floor(response.status / 100)}xx`;
            span?.set({ 'http.response.status_code': response.status });
            return response;
          } catch (error) {
            if (!isAbort(error)) status = errorCode(error);
            throw error;
          } finally {
            end?.();
            metrics?.requests.inc({ source, status });
          }
        }),
    };
  }

  /** Its waits are what requests waited for. */
  clock(source: string, inner: Clock): Clock {
    if (this.#metrics === null) return inner;
    const { waitSeconds } = this.#metrics;
    return {
      now: () => inner.now(),
      async sleep(ms, signal) {
        const end = waitSeconds.startTimer({ source });
        try {
          await inner.sleep(ms, signal);
        } finally {
          end();
        }
      },
    };
  }

  /**
   * One turn of a run: its rows are counted, and it is the span that its pages belong to. The run is counted with the
   * turn that ends it. An error means that there was no run, or that it could not end.
   */
  run<T extends RunOutcome>(facts: RunKey, work: () => Promise<T>): Promise<T> {
    const metrics = this.#metrics;
    const { connection, stream, pass } = facts;
    const attributes = { 'leadmirror.connection': connection, 'leadmirror.stream': stream, 'leadmirror.pass': pass };
    return within(this.#tracer?.open(`run ${stream}`, attributes), async (span) => {
      const end = metrics?.runSeconds.startTimer({ stream, pass });
      const result = await work();
      if (result.error?.code !== 'yielded') {
        end?.();
        metrics?.runs.inc({ stream, pass, outcome: result.outcome });
      }
      for (const action of COUNTED) {
        const count = result.slice?.[action] ?? 0;
        if (count > 0) metrics?.rows.inc({ stream, action }, count);
      }
      span?.set({
        'leadmirror.outcome': result.outcome,
        ...(result.runId !== undefined && { 'leadmirror.run': String(result.runId) }),
        ...(result.slice !== undefined && { 'leadmirror.rows': result.slice.read }),
      });
      return result;
    });
  }

  /** Does the same for a verify. What differs, or could not be compared, makes it `partial`. */
  async verify<T extends VerifyCounts>(facts: RunKey, work: () => Promise<T>): Promise<T> {
    const { report } = await this.run(facts, async () => {
      const report = await work();
      const isWhole = report.error === null && report.findings.length === report.repaired;
      return { report, outcome: isWhole ? 'succeeded' : 'partial' };
    });
    return report;
  }

  readonly onPageWritten = ({ stream, durationMs }: { readonly stream: string; readonly durationMs: number }): void => {
    this.#metrics?.pageWriteSeconds.observe({ stream }, durationMs / 1000);
  };

  #openRequest({ method, url }: { readonly method: string; readonly url: string }): Span | null {
    if (this.#tracer === null || !URL.canParse(url)) return null;
    const { hostname, pathname } = new URL(url);
    return this.#tracer.open(`http ${method}`, {
      'http.request.method': method,
      'server.address': hostname,
      'url.path': pathname,
    });
  }
}
