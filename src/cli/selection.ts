import type { Selected } from '../app/sync-streams.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import type { Connection } from '../stream.ts';
import { UsageError } from './command.ts';

export type { Selected } from '../app/sync-streams.ts';

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

/**
 * The same for streams that the database knows: on a machine that is not configured itself, and without changing what is.
 * @throws UsageError that lists what there is
 */
export function selectKnown(known: readonly StreamKey[], word: string, connectionId: string | undefined): StreamKey[] {
  if (known.length === 0) {
    throw new UsageError(
      'The database knows no stream yet: leadmirror start and leadmirror sync note those configured.',
    );
  }
  const ids = [...new Set(known.map((key) => key.connectionId))];
  if (connectionId !== undefined && !ids.includes(connectionId)) {
    throw new UsageError(`There is no connection ${connectionId}. Known: ${ids.join(', ')}`);
  }
  const isMeant = ({ stream }: StreamKey) => stream === word || stream.startsWith(`${word}.`);
  if (!known.some(isMeant)) {
    const names = known.flatMap(({ stream }) => [stream.split('.')[0] ?? '', stream]);
    throw new UsageError(`There is no stream ${word}. Known: ${[...new Set(names)].sort().join(', ')}`);
  }
  const selected = known.filter((key) => isMeant(key) && (connectionId ?? key.connectionId) === key.connectionId);
  if (selected.length === 0) throw new UsageError(`The connection ${connectionId} has no stream ${word}.`);
  return selected;
}
