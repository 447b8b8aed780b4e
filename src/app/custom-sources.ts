import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { ConfigError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Connection, TableSpec } from '../stream.ts';
import type { UpstreamOf } from './upstreams.ts';

/** What a source that is not built in is made from. */
export interface CustomParts {
  /** The way to the account's server. Accounts with the same credential share one budget. */
  readonly upstream: UpstreamOf;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Returns the accounts of sources that are not built in. Called once; they stay through every reload. */
export type ConnectCustom = (parts: CustomParts) => readonly Connection[];

/** @throws ConfigError when two connections have one id, or one id is also that of a configured account */
export function refuseSameIds(custom: readonly Connection[], { connections }: Pick<Config, 'connections'>): void {
  const ids = new Set(connections.map(({ id }) => id));
  for (const { id } of custom) {
    if (ids.has(id)) {
      const message = 'there is another connection of this id; each needs one of its own';
      throw new ConfigError([{ variable: `connection ${id}`, message }]);
    }
    ids.add(id);
  }
}

/** Each table once, with the columns of all streams that are written to it. */
export function tablesOf(custom: readonly Connection[]): TableSpec[] {
  const tables = new Map<string, TableSpec>();
  for (const { table } of custom.flatMap(({ streams }) => streams)) {
    const key = `${table.schema}.${table.name}`;
    tables.set(key, { ...table, columns: { ...tables.get(key)?.columns, ...table.columns } });
  }
  return [...tables.values()];
}
