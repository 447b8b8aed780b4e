import type { Selected } from '../app/sync-streams.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import type { Connection } from '../stream.ts';
import { UsageError } from './command.ts';

/**
 * Returns the streams of these names: `tiledesk.leads`, the short `leads`, or all of `tiledesk`. Without names: all.
 * @throws UsageError that lists the known names, or those that a short one may mean
 */
export function selectStreams(
  connections: readonly Connection[],
  names: readonly string[],
  connectionId: string | undefined,
): (Selected & { readonly key: StreamKey })[] {
  const all = connections.flatMap((connection) =>
    connection.streams.map((stream) => ({
      connection,
      stream,
      key: { connectionId: connection.id, stream: stream.name },
    })),
  );
  const keys = all.map(({ key }) => key);
  const meant = new Set(selectKnown(keys, names, connectionId, 'Configured'));
  return all.filter(({ key }) => meant.has(key));
}

/** Does the same for the streams that the database knows, on a machine without a configuration. */
export function selectKnown(
  known: readonly StreamKey[],
  names: readonly string[],
  connectionId: string | undefined,
  origin = 'Known',
): StreamKey[] {
  const list = (all: Iterable<string>) => `${origin}: ${[...new Set(all)].join(', ')}`;
  if (connectionId !== undefined && !known.some((key) => key.connectionId === connectionId)) {
    throw new UsageError(`There is no connection ${connectionId}. ${list(known.map((key) => key.connectionId))}`);
  }
  const selectable = known.flatMap(({ stream }) => [sourceOf(stream), stream]).sort();
  const full = names.map((name) => {
    if (selectable.includes(name)) return name;
    const [meant, ...others] = new Set(selectable.filter((stream) => stream.endsWith(`.${name}`)));
    if (meant === undefined) throw new UsageError(`There is no stream ${name}. ${list(selectable)}`);
    if (others.length > 0)
      throw new UsageError(`${name} may be ${[meant, ...others].join(' or ')}: give the whole name`);
    return meant;
  });
  const isMeant = (stream: string) => full.length === 0 || full.includes(stream) || full.includes(sourceOf(stream));
  return known.filter((key) => (connectionId ?? key.connectionId) === key.connectionId && isMeant(key.stream));
}

const sourceOf = (stream: string): string => stream.split('.')[0] ?? '';
