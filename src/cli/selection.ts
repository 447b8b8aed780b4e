import type { Connection, Stream } from '../stream.ts';
import { UsageError } from './command.ts';

export interface Selected {
  readonly connection: Connection;
  readonly stream: Stream;
}

/**
 * The streams that words on the command line mean: `tiledesk.leads`, or `tiledesk` for all streams of a source; no words: everything.
 * @throws UsageError that lists what there is
 */
export function selectStreams(
  connections: readonly Connection[],
  words: readonly string[],
  connectionId: string | undefined,
): Selected[] {
  const all = connections.flatMap((connection) => connection.streams.map((stream) => ({ connection, stream })));
  const ids = connections.map(({ id }) => id);
  if (connectionId !== undefined && !ids.includes(connectionId)) {
    throw new UsageError(`There is no connection ${connectionId}. Configured: ${ids.join(', ')}`);
  }
  const known = new Set(all.flatMap(({ connection, stream }) => [connection.source, stream.name]));
  for (const word of words) {
    if (!known.has(word))
      throw new UsageError(`There is no stream ${word}. Configured: ${[...known].sort().join(', ')}`);
  }
  return all.filter(
    ({ connection, stream }) =>
      (connectionId === undefined || connection.id === connectionId) &&
      (words.length === 0 || words.includes(stream.name) || words.includes(connection.source)),
  );
}
