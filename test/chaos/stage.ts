import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import {
  createTiledeskSandbox,
  type FaultKind,
  type TiledeskSandbox,
  type TiledeskSandboxOptions,
} from '../../sandbox/tiledesk.ts';
import { type Cli, type Finished, type Running, until } from '../helpers/cli.ts';
import { type CuttableProxy, createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { STREAMS, variables } from '../helpers/mirror.ts';
import type { TestRedis } from '../helpers/redis.ts';
import { createOwnPostgres, type OwnPostgres } from './own-postgres.ts';
import type { Incident, IncidentKind, Variant } from './plan.ts';

export interface StageOptions {
  readonly cli: Cli;
  readonly variant: Variant;
  readonly seed: number;
  readonly rows: number;
  /** For the variant `redis`. */
  readonly redis: TestRedis | null;
}

/**
 * A daemon (the compiled program) between a Tiledesk that keeps changing and a database of its own, and the means to hurt each of them. What only the
 * program can make good is left to it; what an operator or a machine would bring back (a process, Redis, a full disk) comes back here.
 */
export class Stage {
  readonly sandbox: TiledeskSandbox;
  readonly variant: Variant;
  /** What must never happen, as it was noticed. */
  readonly problems: string[] = [];
  kills = 0;
  changes = 0;
  readonly #cli: Cli;
  readonly #redis: TestRedis | null;
  readonly #seed: number;
  readonly #postgres: OwnPostgres;
  readonly #proxy: CuttableProxy | null;
  readonly #env: Readonly<Record<string, string>>;
  #editing: NodeJS.Timeout | undefined;
  #daemon: Running | null = null;

  private constructor(parts: {
    readonly options: StageOptions;
    readonly sandbox: TiledeskSandbox;
    readonly postgres: OwnPostgres;
    readonly proxy: CuttableProxy | null;
    readonly env: Readonly<Record<string, string>>;
  }) {
    const { options } = parts;
    this.variant = options.variant;
    this.#cli = options.cli;
    this.#redis = options.redis;
    this.#seed = options.seed;
    this.sandbox = parts.sandbox;
    this.#postgres = parts.postgres;
    this.#proxy = parts.proxy;
    this.#env = parts.env;
  }

  static async open(options: StageOptions): Promise<Stage> {
    const { cli, variant, seed, rows, redis } = options;
    const size: TiledeskSandboxOptions = { leads: Math.ceil(rows * 0.3), requests: Math.ceil(rows * 0.7) };
    const sandbox = createTiledeskSandbox({ seed, ...size });
    const { url } = await sandbox.listen();
    const postgres = await createOwnPostgres({ isStarted: variant !== 'embedded' });
    const databaseUrl = await postgres.url();
    const proxy = variant === 'embedded' ? null : await createCuttableProxy(databaseUrl ?? '');
    cli.guard(sandbox);
    const { DATABASE_URL: _, ...rest } = variables(sandbox, url, '');
    const env = {
      ...rest,
      ...(proxy === null ? { LEADMIRROR_HOME: postgres.home } : { DATABASE_URL: proxy.url }),
      ...(variant === 'redis' && redis !== null ? { REDIS_URL: redis.url } : {}),
      TILEDESK_PAGE_SIZE: '20',
      SYNC_INCREMENTAL_CRON: '* * * * * *',
      SYNC_RECONCILE_CRON: '*/7 * * * * *',
      // Hard deletions are part of the play, and more of them than on a real day.
      SYNC_DELETE_BRAKE: '1',
      HTTP_TIMEOUT_SECONDS: '2',
      RETRY_ATTEMPTS: '3',
      RETRY_MAX_SECONDS: '30',
      SHUTDOWN_TIMEOUT_SECONDS: '5',
      OPS_PORT: '0',
      LOG_LEVEL: 'info',
    };
    return new Stage({ options, sandbox, postgres, proxy, env });
  }

  /** From now on the upstream changes and the daemon mirrors; resolves when the first rows are there, in the middle of the first full read. */
  async start(changesPerSecond: number): Promise<void> {
    this.#startDaemon();
    await until('the first rows are there', async () => (await this.countRows('requests').catch(() => 0)) > 0, 60_000);
    this.#editing = setInterval(() => {
      const count = Math.max(1, Math.round(changesPerSecond / 10));
      this.sandbox.data.randomEdits(count, { hardDeletes: true });
      this.changes += count;
    }, 100);
  }

  /** One incident from its beginning until it is made good. */
  act({ kind, lastsMs, dice }: Incident): Promise<void> {
    const act: Record<IncidentKind, () => Promise<void>> = {
      'kill the program': () => this.#killProgram(lastsMs),
      'kill Redis': () => this.#killRedis(lastsMs),
      'flush Redis': () => this.#flushRedis(),
      'forget the queue': () =>
        this.#tryToQuery('truncate bullmq.job, bullmq.scheduler, bullmq.dedup, bullmq.dedup_next cascade'),
      'cut the database': () => this.#cutDatabase(lastsMs),
      'end database sessions': () =>
        this.#tryToQuery(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'leadmirror presence'`,
        ),
      'kill Postgres': () => this.#killPostgres(),
      'fill the disk': () => this.#fillDisk(lastsMs, dice < 0.5),
      'upstream 503': () => this.#spoil('503', lastsMs, dice),
      'upstream 429': () => this.#spoil('429', lastsMs, dice),
      'upstream 500': () => this.#spoil('500', lastsMs, dice),
      'upstream resets': () => this.#spoil('reset', lastsMs, dice),
      'upstream hangs': () => this.#spoil('hang', lastsMs, dice),
      'upstream cuts answers': () => this.#spoil('cut', lastsMs, dice),
      'upstream sends pages of HTML': () => this.#spoil('html-200', lastsMs, dice),
      'upstream truncates pages': () => this.#spoil('truncated-page', lastsMs, dice),
      'upstream forgets tokens': async () => this.sandbox.faults.revokeTokens(),
      'upstream clock jumps': () => this.#jumpClock(lastsMs, dice),
    };
    return act[kind]();
  }

  /** Nothing goes wrong any more, and nothing changes. */
  async calmDown(): Promise<void> {
    clearInterval(this.#editing);
    this.sandbox.faults.clear();
    await this.#freeDisk();
  }

  /** The daemon left alone heals by itself: each stream's incremental pass ends complete. */
  async untilHealed(timeoutMs: number): Promise<void> {
    const [from] = await this.query<{ now: Date }>('select clock_timestamp() as now');
    const healed = `select count(*)::int as count from sync.checkpoints where pass = 'incremental' and completed_at > $1`;
    await until(
      'every stream is read again',
      async () => {
        const [row] = await this.query<{ count: number }>(healed, [from?.now]).catch(() => []);
        return row?.count === STREAMS.length;
      },
      timeoutMs,
    ).catch((error: Error) => void this.problems.push(`the daemon did not recover by itself: ${error.message}`));
  }

  /** As a service manager does. */
  async stopDaemon(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null) return;
    // The built-in Postgres would end with the last process that uses it; from here on somebody stays.
    await this.#postgres.hold();
    // Before that it would not even know how to stop.
    await daemon.says(/leadmirror is running/);
    daemon.kill('SIGTERM');
    const late = setTimeout(() => daemon.kill('SIGKILL'), STOP_MS);
    const ended = await daemon.ended.finally(() => clearTimeout(late));
    if (ended.code !== 0) this.problems.push(`told to stop, the daemon ended with ${ended.code ?? ended.signal}`);
    this.#inspect(ended);
  }

  async run(args: readonly string[]): Promise<Finished> {
    const ended = await this.#cli.runProcess(args, { env: this.#env, timeoutMs: RUN_MS });
    this.#inspect(ended);
    return ended;
  }

  async databaseUrl(): Promise<string> {
    const url = await this.#postgres.url();
    if (url === null) throw new Error('there is no database yet');
    return url;
  }

  async query<T extends object>(sql: string, values: readonly unknown[] = []): Promise<T[]> {
    const client = new pg.Client({ connectionString: await this.databaseUrl(), connectionTimeoutMillis: 5_000 });
    // Its server may be killed under it.
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.query(sql, [...values])).rows as T[];
    } finally {
      await client.end().catch(() => {});
    }
  }

  async countRows(table: string): Promise<number> {
    const [row] = await this.query<{ count: number }>(`select count(*)::int as count from tiledesk.${table}`);
    return row?.count ?? 0;
  }

  async close(): Promise<void> {
    clearInterval(this.#editing);
    const daemon = this.#daemon;
    this.#daemon = null;
    daemon?.kill('SIGKILL');
    await daemon?.ended;
    await this.#proxy?.close();
    await this.#postgres.close();
    await this.sandbox.close();
  }

  #startDaemon(): void {
    const daemon = this.#cli.start(['start'], { env: this.#env });
    this.#daemon = daemon;
    void daemon.ended.then((ended) => {
      if (this.#daemon !== daemon) return;
      const how = `the daemon ended by itself with ${ended.code ?? ended.signal}:\n${lastLines(ended.stderr)}`;
      this.problems.push(how);
      this.#inspect(ended);
      this.#startDaemon();
    });
  }

  async #killProgram(lastsMs: number): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    daemon?.kill('SIGKILL');
    const ended = await daemon?.ended;
    if (ended !== undefined) this.#inspect(ended);
    this.kills += 1;
    await delay(lastsMs);
    this.#startDaemon();
  }

  /** No crash of anything else excuses a mistake of ours. */
  #inspect({ stdout, stderr }: Finished): void {
    const bugs = `${stdout}\n${stderr}`
      .split('\n')
      .filter((line) => /unexpected error|unhandled|please report/i.test(line));
    this.problems.push(...bugs.slice(0, 3));
  }

  async #killRedis(lastsMs: number): Promise<void> {
    await this.#redis?.kill();
    await delay(lastsMs);
    await this.#redis?.restart();
  }

  async #flushRedis(): Promise<void> {
    if (this.#redis === null) return;
    const client = new Redis(this.#redis.url);
    await client.flushall().finally(() => client.disconnect());
  }

  async #cutDatabase(lastsMs: number): Promise<void> {
    await this.#proxy?.cut();
    await delay(lastsMs);
    await this.#proxy?.restore();
  }

  async #killPostgres(): Promise<void> {
    await this.#postgres.kill();
    await this.#untilDatabaseAnswers();
  }

  #untilDatabaseAnswers(): Promise<void> {
    return until('Postgres answers again', () => this.query('select').then(() => true, no), DATABASE_MS);
  }

  /** `isEverywhere`: runs and checkpoints cannot be written either. */
  async #fillDisk(lastsMs: number, isEverywhere: boolean): Promise<void> {
    const mirrored = STREAMS.map((name) => `tiledesk.${name}`);
    const tables = isEverywhere ? [...mirrored, 'sync.runs', 'sync.checkpoints'] : mirrored;
    await this.#insist(`
      set lock_timeout = '2s';
      create schema if not exists chaos;
      create or replace function chaos.disk_full() returns trigger language plpgsql as
        $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
      ${tables.map((table) => `create or replace trigger chaos before insert or update on ${table} execute function chaos.disk_full();`).join('\n')}`);
    await delay(lastsMs);
    await this.#freeDisk();
  }

  #freeDisk(): Promise<void> {
    return this.#insist(`set lock_timeout = '2s'; drop schema if exists chaos cascade;`);
  }

  async #spoil(kind: FaultKind, lastsMs: number, dice: number): Promise<void> {
    const { faults } = this.sandbox;
    faults.random({ rate: 0.4 + 0.6 * dice, kinds: [kind], seed: this.#seed + Math.floor(dice * 1e6) });
    await delay(lastsMs);
    faults.random(undefined);
  }

  async #jumpClock(lastsMs: number, dice: number): Promise<void> {
    this.sandbox.faults.dateOffsetMs = Math.round((dice - 0.5) * 8 * 3_600_000);
    await delay(lastsMs);
    this.sandbox.faults.dateOffsetMs = 0;
  }

  /** What cannot be done now, because the database is away or has no such table yet, is left out. */
  async #tryToQuery(sql: string): Promise<void> {
    await this.query(sql).catch(() => {});
  }

  async #insist(sql: string): Promise<void> {
    let last: unknown;
    await until(
      'the database does what it is told',
      () =>
        this.query(sql).then(
          () => true,
          (error) => {
            last = error;
            return false;
          },
        ),
      DATABASE_MS,
    ).catch(() => {
      throw new Error(`the stage could not set its scene: ${last}`);
    });
  }
}

const STOP_MS = 20_000;
const RUN_MS = 180_000;
const DATABASE_MS = 60_000;

const no = (): boolean => false;

const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-15).join('\n');
