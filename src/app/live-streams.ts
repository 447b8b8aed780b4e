import { type Config, type StreamSchedule, scheduleOf } from '../config.ts';
import type { ConfiguredStream } from '../store/engine/streams.ts';
import type { Connection, Stream } from '../stream.ts';
import { freshWithinSeconds } from '../sync/schedule.ts';

export interface ScheduledStream extends ConfiguredStream {
  readonly schedule: StreamSchedule;
}

/** What is configured now, as one consistent picture: a new configuration makes a new one. */
export function createLiveStreams(config: Config, connections: readonly Connection[], nowMs: number) {
  const settings = new Map(config.connections.map((each) => [each.id, each]));
  const found = new Map<string, { connection: Connection; stream: Stream; schedule: StreamSchedule }>();
  const streams: ScheduledStream[] = [];
  // Thousands of streams share a few schedules.
  const fresh = new Map<string, number>();
  const freshWithin = (schedule: StreamSchedule): number => {
    const key = JSON.stringify([schedule.incremental, schedule.reconcile]);
    const seconds = fresh.get(key) ?? freshWithinSeconds(schedule, nowMs);
    fresh.set(key, seconds);
    return seconds;
  };
  for (const connection of connections) {
    for (const stream of connection.streams) {
      const kind = stream.name.slice(connection.source.length + 1);
      const configured = scheduleOf(config.sync, settings.get(connection.id) ?? {}, kind);
      const schedule = stream.counts === undefined ? { ...configured, count: null } : configured;
      found.set(keyOf(connection.id, stream.name), { connection, stream, schedule });
      streams.push({
        connectionId: connection.id,
        stream: stream.name,
        schedule,
        freshWithinSeconds: freshWithin(schedule),
        credential: connection.credential,
      });
    }
  }
  return {
    connections,
    streams,
    find: (connectionId: string, stream: string) => found.get(keyOf(connectionId, stream)),
  };
}

/** No id of a connection contains a space. */
const keyOf = (connectionId: string, stream: string): string => `${connectionId} ${stream}`;
