import { RunCancelledError } from '../errors.ts';

interface Begun {
  readonly connectionId: string;
  readonly stream: string;
  readonly stop: AbortController;
}

/** The runs of this process, so that those of a stream that is no longer configured can be ended at once. */
export class RunsUnderWay {
  readonly #begun = new Set<Begun>();

  /** Does the work with a signal that also fires when the stream is ended. */
  async during<T>(
    { connectionId, stream, signal }: { connectionId: string; stream: string; signal: AbortSignal },
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const begun: Begun = { connectionId, stream, stop: new AbortController() };
    this.#begun.add(begun);
    try {
      return await work(AbortSignal.any([signal, begun.stop.signal]));
    } finally {
      this.#begun.delete(begun);
    }
  }

  /** Their checkpoints are kept: should the stream come back, it goes on from there. */
  endUnless(isConfigured: (connectionId: string, stream: string) => boolean): void {
    for (const { connectionId, stream, stop } of this.#begun) {
      if (isConfigured(connectionId, stream)) continue;
      const message = `${stream} of ${connectionId} is no longer configured; its rows and its checkpoint are kept`;
      stop.abort(new RunCancelledError('not_configured', message));
    }
  }
}
