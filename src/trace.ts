/**
 * Where time goes, for those who collect traces: run → page → request and statement. A leaf that all may import; its implementation is loaded
 * only when traces are wanted (`ops/tracing.ts`), and everything works without it.
 *
 * Attributes contain ids, counts and our own names: never an address with its query, a parameter of a statement, or anything out of a record.
 */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface Span {
  /** What is opened inside belongs to this span. */
  run<T>(work: () => T): T;
  /** Belongs to this span, whatever else is under way. */
  child(name: string, attributes?: Attributes): Span;
  set(attributes: Attributes): void;
  /** To be called once. `error`: why the work failed. */
  end(error?: unknown): void;
}

export interface Tracer {
  /** Belongs to the span that is under way, if any. */
  open(name: string, attributes?: Attributes): Span;
  /** The span under way; null outside of all. */
  active(): Span | null;
}

/** Does `work` inside a span of its own, and ends that with it. */
export async function within<T>(span: Span | null | undefined, work: (span: Span | null) => Promise<T>): Promise<T> {
  if (!span) return work(null);
  try {
    const result = await span.run(() => work(span));
    span.end();
    return result;
  } catch (error) {
    span.end(error);
    throw error;
  }
}
