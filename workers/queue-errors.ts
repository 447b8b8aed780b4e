import { LeadmirrorError } from '../src/errors.ts';

/** The queue cannot be reached. Waiting may help. */
export class QueueUnavailableError extends LeadmirrorError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('queue_unavailable', message, options);
  }
}

/** The queue answers, and refuses what it has to do. Waiting does not help. */
export class QueueRefusedError extends LeadmirrorError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('queue_refused', message, options);
  }
}
