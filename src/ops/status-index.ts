import { groupBy } from './group-by.ts';
import type { BudgetFacts, StatusDocument, StreamFacts } from './status-document.ts';

export interface StatusIndex {
  streamsOf(connection: string): readonly StreamFacts[];
  budgetOf(credential: string | null): BudgetFacts | undefined;
}

const made = new WeakMap<StatusDocument, StatusIndex>();

/** What belongs to what in one look; put in order once, however many ask: with thousands of connections nobody goes through all streams for each. */
export function indexOf(status: StatusDocument): StatusIndex {
  const known = made.get(status);
  if (known !== undefined) return known;
  const streams = groupBy(status.streams, ({ connection_id }) => connection_id);
  const budgets = new Map(status.budgets.map((budget) => [budget.credential, budget]));
  const index: StatusIndex = {
    streamsOf: (connection) => streams.get(connection) ?? [],
    budgetOf: (credential) => (credential === null ? undefined : budgets.get(credential)),
  };
  made.set(status, index);
  return index;
}
