import { describeProcesses } from '../store/engine/processes.ts';
import { type Fragment, factsOf } from './live.ts';
import type { StatusDocument } from './status-document.ts';
import { indexOf } from './status-index.ts';
import {
  connectionGauge,
  connectionHead,
  gaugeId,
  headId,
  lastRuns,
  PROCESSES_ID,
  processesLine,
  QUEUE_ID,
  queueLine,
  RUNS_ID,
  SUMMARY_ID,
  summaryLine,
} from './view/overview.ts';
import { isLong, type RowOptions, rowId, streamRow } from './view/stream-row.ts';

/** The parts of the overview that live on their own, made of the same functions as the page itself. */
export function fragmentsOf(status: StatusDocument, options: Omit<RowOptions, 'nowMs'>): readonly Fragment[] {
  const nowMs = status.generated_at.getTime();
  if (status.streams.length === 0) return [];
  const { streamsOf, budgetOf } = indexOf(status);
  return [
    { id: SUMMARY_ID, facts: factsOf(status.summary), render: () => summaryLine(status.summary).text },
    { id: QUEUE_ID, facts: factsOf(status.queue), render: () => queueLine(status.queue).text },
    {
      id: PROCESSES_ID,
      facts: factsOf(describeProcesses(status.processes)),
      render: () => processesLine(status.processes).text,
    },
    { id: RUNS_ID, facts: factsOf(status.runs), render: () => lastRuns(status, nowMs).text },
    ...status.connections.flatMap((connection) => {
      const own = streamsOf(connection.id);
      const budget = budgetOf(connection.credential);
      return [
        {
          id: headId(connection.id),
          facts: factsOf(
            connection,
            own.map(({ state, rows }) => [state, rows]),
          ),
          render: () => connectionHead(connection, status).text,
        },
        {
          id: gaugeId(connection.id),
          // All that share a budget show how many they are, none of them who.
          facts: factsOf(budget && { ...budget, connections: budget.connections.length }),
          render: () => connectionGauge(connection, status, nowMs).text,
        },
      ];
    }),
    ...status.streams.map((stream) => ({
      id: rowId(stream),
      facts: factsOf(stream, stream.running !== null && isLong(stream.running, nowMs)),
      render: () => streamRow(stream, { ...options, nowMs }).text,
    })),
  ];
}
