/** What scripts may rely on. */
export const EXIT = {
  done: 0,
  /** A stream failed, was postponed, is blocked or locked by another run; or the database cannot be used. */
  failed: 1,
  usage: 2,
  /** `verify` found rows that differ. */
  differences: 3,
  /** Before its work was done. A daemon that is stopped ends with `done`. */
  stoppedBySignal: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
