import type { z } from 'zod';
import type { FieldPolicy } from '../stream.ts';
import type { ConnectionSchedules } from './schedules.ts';
import type { settingsSchema } from './settings.ts';
import type { UnusableConnection } from './stored.ts';
import type { tiledeskEntry } from './tiledesk.ts';
import type { tilkeeEntry } from './tilkee.ts';

/** Readonly all the way down, as the loader freezes it. */
type Frozen<T> = unknown extends T ? T : { readonly [K in keyof T]: Frozen<T[K]> };

export type TiledeskConnectionConfig = Frozen<z.output<ReturnType<typeof tiledeskEntry>>>;

export type TilkeeConnectionConfig = Frozen<z.output<ReturnType<typeof tilkeeEntry>>>;

export interface AccountName {
  /** From leadmirror.yaml; shown instead of the id. */
  readonly label?: string;
  /** The entry of the file, or the variable: `leadmirror.yaml: connections[2]`. */
  readonly configuredIn?: string;
}

/** One account to mirror. Schedules of its own and a label come from leadmirror.yaml only. */
export type ConnectionConfig = (TiledeskConnectionConfig | TilkeeConnectionConfig) &
  ConnectionSchedules &
  AccountName & {
    /** What is given wins over the settings of all accounts. */
    readonly privacy?: Partial<FieldPolicy>;
  };

export type Settings = Frozen<z.output<ReturnType<typeof settingsSchema>>>;

/** All that an operator decides, deeply frozen. It holds secrets: print `describeConfig(config)` instead. */
export interface Config extends Settings {
  readonly connections: readonly ConnectionConfig[];
  /** Those of `connections` that the database keeps, and such that are switched off. */
  readonly stored: readonly string[];
  /** What the database keeps, and this process does not mirror. */
  readonly unusable: readonly UnusableConnection[];
  /** Notes for the operator that are no errors. Without values, so they may be logged. */
  readonly notes: readonly string[];
  /** Files with secrets that others may read or change, and how to close them. */
  readonly openFiles: readonly string[];
}
