/**
 * Keys of the advisory locks that leadmirror takes, all in one file so that no two are the same. Any fixed numbers;
 * taken by no other program as far as we know.
 */
export const LOCKS = {
  migrate: 7_233_071_926n,
  lead: 7_233_071_927n,
  customTables: 7_233_071_928n,
  alerts: 7_233_071_929n,
  history: 7_233_071_930n,
  /** In the database of the embedded server: locked in shared mode by every process that uses it. */
  presence: 7_813_586_201n,
} as const;
