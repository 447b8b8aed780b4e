/** What scripts may rely on. */
export const EXIT = {
  done: 0,
  /** A stream failed, was postponed, or is held by another run; or the database cannot be used. */
  failed: 1,
  /** Usage or configuration. */
  usage: 2,
  /** Before its work was done. A daemon that is told to stop ends with `done`. */
  stoppedBySignal: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
