import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Faults } from '../../sandbox/faults.ts';
import type { Random } from '../../sandbox/random.ts';
import type { RequestLogEntry } from '../../sandbox/serve.ts';
import { type App, createApp } from '../../src/app.ts';
import type { Clock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import type { Pass } from '../../src/stream.ts';
import type { RunResult } from '../../src/sync/run-pass.ts';
import type { Difference } from '../helpers/compare.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

export type ChangeKind = 'inserts' | 'edits' | 'status changes' | 'soft deletes' | 'hard deletes';
/** How many rows were changed, and how. */
export type Change = readonly [kind: ChangeKind, rows: number];

/** A row of the mirror, as far as deletions are concerned. */
export interface MirroredState {
  readonly id: string;
  readonly isGone: boolean;
  /** Gone by the mirror's own judgement, not because the upstream shows it as deleted. */
  readonly isMarked: boolean;
}

/** One simulated upstream with everything that a seed does to it, and the mirror of it. */
export interface World {
  readonly source: 'tiledesk' | 'tilkee';
  /** In the order in which they are synced. */
  readonly streams: readonly string[];
  /** Those of which the upstream reports how many rows there are. */
  readonly counted: readonly string[];
  readonly faults: Faults;
  readonly log: readonly RequestLogEntry[];
  readonly mirror: Mirror;
  /** Passes that cannot always bring all that is new may end `partial` even when nothing disturbs them. */
  readonly isIncrementalWeak: boolean;
  isList(call: string): boolean;
  isById(call: string): boolean;
  /** A spoilt answer that nothing in it contradicts: rows are left out, and no count or flag tells. */
  isPlausibleLie(entry: RequestLogEntry): boolean;
  /** One random change upstream. */
  change(random: Random): Change;
  /** The upstream's clock goes on, and its Date header with it. */
  passTime(ms: number): void;
  /** The upstream has it, whether or not a list just shows it. */
  isThere(stream: string, id: string): boolean;
  states(stream: string): Promise<MirroredState[]>;
  /** Alive rows and their content, field by field. */
  compare(stream: string): Promise<Difference>;
  close(): Promise<void>;
}

/** The program itself, on an empty database. */
export interface Mirror {
  readonly url: string;
  readonly app: App;
  run(stream: string, pass: Pass): Promise<RunResult>;
  query<T extends object>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  close(): Promise<void>;
}

export async function openMirror(ground: Ground, variables: Readonly<Record<string, string>>): Promise<Mirror> {
  const url = await ground.clear();
  const config = loadConfig({ env: { ...variables, DATABASE_URL: url }, cwd: '/', isTerminal: false });
  const { signal } = new AbortController();
  const app = await createApp(config, { logger: unheardLogger(), signal, clock: hastyClock });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const connectionId = app.connections[0]?.id ?? '';
  return {
    url,
    app,
    run(stream, pass) {
      const found = app.findStream(connectionId, stream);
      if (found === undefined) throw new Error(`no stream ${stream}`);
      return app.runPass({ ...found, pass, signal, maxWaitMs: 120_000, leaseWaitMs: 0 });
    },
    async query<T extends object>(sql: string, values: readonly unknown[] = []) {
      return (await client.query(sql, [...values])).rows as T[];
    },
    async close() {
      await client.end();
      await app.close();
    },
  };
}

/** A database for one seed after the other: emptied in between, because a new one each time takes longer than the seed. */
export class Ground {
  #database: TestDatabase | null = null;
  #uses = 0;

  /** The address of an empty, migrated database. */
  async clear(): Promise<string> {
    // Nothing vacuums here, so after a while the dead rows are in the way.
    if (this.#uses % USES_OF_A_DATABASE === 0) await this.#renew();
    else await this.#empty();
    this.#uses += 1;
    return this.#database?.url ?? '';
  }

  async close(): Promise<void> {
    await this.#database?.drop();
    this.#database = null;
  }

  async #renew(): Promise<void> {
    await this.close();
    this.#database = await createTestDatabase();
  }

  async #empty(): Promise<void> {
    const client = new pg.Client({ connectionString: this.#database?.url });
    await client.connect();
    try {
      const { rows } = await client.query<{ name: string }>(TABLES);
      for (const { name } of rows) await client.query(`delete from ${name}`);
    } finally {
      await client.end();
    }
  }
}

const USES_OF_A_DATABASE = 20;
const TABLES = `select format('%I.%I', schemaname, tablename) as name from pg_tables
  where schemaname in ('tiledesk', 'tilkee', 'sync') and tablename not in ('_prisma_migrations', 'privacy')`;

/** Does not sit out the backoff after a refusal: a thousand seeds have many, and what follows a wait does not depend on its length. */
const hastyClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => delay(Math.min(Math.max(0, ms), 2), undefined, { signal }),
};

/**
 * The Date header to go with an upstream whose clock is the simulation's: a header knows whole seconds, and a fifth of one leaves it the same
 * until the answer is out.
 */
export const dateOffsetFor = (at: number): number => Math.floor(at / 1000) * 1000 + 200 - Date.now();

/** Where every upstream's history ends: the same for every run of a seed. */
export const HISTORY_END = Date.UTC(2026, 3, 20, 9, 30);

export function pickWeighted<T>(random: Random, choices: readonly (readonly [weight: number, choice: T])[]): T {
  let draw = random.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, choice] of choices) {
    draw -= weight;
    if (draw < 0) return choice;
  }
  return (choices.at(-1) as readonly [number, T])[1];
}
