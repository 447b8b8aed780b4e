import type pg from 'pg';
import { useOf } from './processes.ts';

/** Counters of one database as they stand. */
export interface PostgresCounters {
  readonly commits: number;
  readonly walBytes: number;
  /** Rows inserted, updated and deleted, by table. */
  readonly writes: Readonly<Record<string, number>>;
  /** Rows of sync.runs. */
  readonly runs: number;
  /** CPU seconds by server process: those of this machine only. */
  readonly cpu: ReadonlyMap<number, number>;
}

/** What the runs between two readings cost, per run. */
export interface DatabaseUse {
  readonly transactions: number;
  readonly walBytes: number;
  /** Of the connections that were open at both readings. */
  readonly cpuMs: number;
  /** Row versions written, by table; tables with less than one in a hundred runs are left out. */
  readonly rowsWritten: Readonly<Record<string, number>>;
}

/** Reads what a database did from its own statistics; as a superuser, of a server on this machine. */
export class PostgresMeter {
  readonly #client: pg.Client;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  /** Bytes of each table with its indexes and TOAST. */
  async sizes(): Promise<Record<string, number>> {
    const { rows } = await this.#client.query<{ name: string; bytes: string }>(
      `select n.nspname || '.' || c.relname as name, pg_total_relation_size(c.oid) as bytes
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')`,
    );
    return Object.fromEntries(rows.map(({ name, bytes }) => [name, Number(bytes)]));
  }

  async read(): Promise<PostgresCounters> {
    const { rows } = await this.#client.query<{ commits: string; wal: string; runs: string }>(
      `select (select xact_commit from pg_stat_database where datname = current_database()) as commits,
        pg_current_wal_lsn() - '0/0' as wal, (select count(*) from sync.runs) as runs`,
    );
    const tables = await this.#client.query<{ name: string; writes: string }>(
      `select schemaname || '.' || relname as name, n_tup_ins + n_tup_upd + n_tup_del as writes from pg_stat_user_tables`,
    );
    const backends = await this.#client.query<{ pid: number }>(
      'select pid from pg_stat_activity where pid <> pg_backend_pid()',
    );
    const cpu = new Map<number, number>();
    for (const { pid } of backends.rows) {
      const use = await useOf(pid).catch(() => null);
      if (use !== null) cpu.set(pid, use.cpuSeconds);
    }
    return {
      ...{ commits: Number(rows[0]?.commits), walBytes: Number(rows[0]?.wal), runs: Number(rows[0]?.runs), cpu },
      writes: Object.fromEntries(tables.rows.map(({ name, writes }) => [name, Number(writes)])),
    };
  }

  between(from: PostgresCounters, to: PostgresCounters, runs: number): DatabaseUse {
    const each = (amount: number) => amount / Math.max(1, runs);
    let cpuSeconds = 0;
    for (const [pid, seconds] of to.cpu) cpuSeconds += seconds - (from.cpu.get(pid) ?? seconds);
    const written = Object.entries(to.writes)
      .map(([name, writes]) => [name, each(writes - (from.writes[name] ?? 0))] as const)
      .filter(([, amount]) => amount >= 0.01)
      .sort(([, a], [, b]) => b - a);
    return {
      transactions: each(to.commits - from.commits),
      walBytes: each(to.walBytes - from.walBytes),
      cpuMs: each(cpuSeconds) * 1000,
      rowsWritten: Object.fromEntries(written),
    };
  }
}
