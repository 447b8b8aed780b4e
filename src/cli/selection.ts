import type { Selected } from '../app/sync-streams.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import type { Connection } from '../stream.ts';
import { UsageError } from './command.ts';

/** What words mean: `tiledesk.leads`, or `tiledesk` for all its streams; no words: everything. @throws UsageError that lists what there is */
export function selectStreams(
  connections: readonly Connection[],
  words: readonly string[],
  connectionId: string | undefined,
): (Selected & { readonly key: StreamKey })[] {
  const all = connections.flatMap((connection) =>
    connection.streams.map((stream) => ({
      connection,
      stream,
      key: { connectionId: connection.id, stream: stream.name },
    })),
  );
  const meant = new Set(
    selectKnown(
      all.map(({ key }) => key),
      words,
      connectionId,
      'Configured',
    ),
  );
  return all.filter(({ key }) => meant.has(key));
}

/** The same for streams that the database knows, on a machine that is not configured itself. @throws UsageError that lists what there is */
export function selectKnown(
  known: readonly StreamKey[],
  words: readonly string[],
  connectionId: string | undefined,
  origin = 'Known',
): StreamKey[] {
  const list = (names: Iterable<string>) => `${origin}: ${[...new Set(names)].join(', ')}`;
  if (connectionId !== undefined && !known.some((key) => key.connectionId === connectionId)) {
    throw new UsageError(`There is no connection ${connectionId}. ${list(known.map((key) => key.connectionId))}`);
  }
  const names = known.flatMap(({ stream }) => [sourceOf(stream), stream]).sort();
  for (const word of words) {
    if (!names.includes(word)) throw new UsageError(`There is no stream ${word}. ${list(names)}`);
  }
  const isMeant = (stream: string) => words.length === 0 || words.includes(stream) || words.includes(sourceOf(stream));
  return known.filter((key) => (connectionId ?? key.connectionId) === key.connectionId && isMeant(key.stream));
}

const sourceOf = (stream: string): string => stream.split('.')[0] ?? '';
