import { isDeepStrictEqual } from 'node:util';
import type { Config, ConnectionConfig } from './types.ts';
import { VARIABLES, type VariableName } from './variables.ts';

export type ConfigChanges = ReturnType<typeof compareConfigs>;

const LIVE: readonly string[] = [
  'SYNC_INCREMENTAL_CRON',
  'SYNC_RECONCILE_CRON',
  'SYNC_COUNT_CHECK_CRON',
  'SYNC_FULL_SYNC_DAYS',
  'SYNC_TIMEZONE',
  'SYNC_LOOKBACK_SECONDS',
  'SYNC_DELETE_BRAKE',
  'RUN_RETENTION_DAYS',
  'CONNECTION_HOSTS',
] satisfies VariableName[];

/** What changed in a configuration that was read again. Connections by their ids. */
export function compareConfigs(before: Config, after: Config) {
  const old = new Map(before.connections.map((connection) => [connection.id, connection]));
  const ids = new Set(after.connections.map(({ id }) => id));
  const changed = after.connections.filter((connection) => {
    const known = old.get(connection.id);
    return known !== undefined && !isDeepStrictEqual(withoutPosition(known), withoutPosition(connection));
  });
  const names: readonly string[] = VARIABLES.map(({ name }) => name).filter(
    (name) => !isDeepStrictEqual(before.variables[name], after.variables[name]),
  );
  return {
    added: [...ids].filter((id) => !old.has(id)),
    removed: [...old.keys()].filter((id) => !ids.has(id)),
    /** Another account, address, pace, stream or schedule. */
    changed: changed.map(({ id }) => id),
    /** Variables of other settings that take effect at once. */
    settings: names.filter((name) => LIVE.includes(name)),
    /** Variables that take effect after a restart only. */
    restart: names.filter((name) => !LIVE.includes(name)),
  };
}

/** The configuration to work with from now on: what takes effect after a restart stays as it was. */
export function withLiveChanges(before: Config, after: Config): Config {
  const { sync, runRetentionDays, connections, stored, unusable, connectionHosts, notes } = after;
  const live = Object.fromEntries(LIVE.map((name) => [name, after.variables[name]]));
  const variables = { ...before.variables, ...live };
  const accounts = { connections, stored, unusable, connectionHosts };
  return Object.freeze({ ...before, sync, runRetentionDays, ...accounts, notes, variables });
}

/** The same account, address, pace and streams: only schedules and the label may differ. */
export function isSameAccount(one: ConnectionConfig, other: ConnectionConfig): boolean {
  return isDeepStrictEqual(withoutSchedules(one), withoutSchedules(other));
}

const withoutSchedules = ({ schedule, streamSchedules, label, configuredIn, ...account }: ConnectionConfig) => account;

/** An entry that moved within its file is the same. */
const withoutPosition = ({ configuredIn, ...connection }: ConnectionConfig) => connection;
