import type { Selected } from '../app/sync-streams.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import type { Connection } from '../stream.ts';
import { UsageError } from './command.ts';

/**
 * The streams that words on the command line mean: `tiledesk.leads`, or `tiledesk` for all streams of a source; no words: everything.
 * @throws UsageError that lists what there is
 */
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
  const isMeant = matcher(
    all.map(({ key }) => key),
    { words, connectionId, origin: 'Configured' },
  );
  return all.filter(({ key }) => isMeant(key));
}

/**
 * The same for streams that the database knows: on a machine that is not configured itself, and without changing what is.
 * @throws UsageError that lists what there is
 */
export function selectKnown<T extends StreamKey>(
  known: readonly T[],
  words: readonly string[],
  connectionId: string | undefined,
): T[] {
  return known.filter(matcher(known, { words, connectionId, origin: 'Known' }));
}

interface Wanted {
  readonly words: readonly string[];
  readonly connectionId: string | undefined;
  readonly origin: 'Configured' | 'Known';
}

function matcher(all: readonly StreamKey[], { words, connectionId, origin }: Wanted): (key: StreamKey) => boolean {
  const list = (names: Iterable<string>) => `${origin}: ${[...new Set(names)].join(', ')}`;
  if (connectionId !== undefined && !all.some((key) => key.connectionId === connectionId)) {
    throw new UsageError(`There is no connection ${connectionId}. ${list(all.map((key) => key.connectionId))}`);
  }
  const names = all.flatMap(({ stream }) => [sourceOf(stream), stream]).sort();
  for (const word of words) {
    if (!names.includes(word)) throw new UsageError(`There is no stream ${word}. ${list(names)}`);
  }
  return ({ connectionId: id, stream }) =>
    (connectionId ?? id) === id && (words.length === 0 || words.includes(stream) || words.includes(sourceOf(stream)));
}

const sourceOf = (stream: string): string => stream.split('.')[0] ?? '';
