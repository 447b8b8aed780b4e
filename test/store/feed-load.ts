import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { withClient } from '../helpers/postgres.ts';

/*
 * Twenty writers that pause inside their transactions, a reader that acknowledges, and beside it one that goes by the
 * greatest number. `run_id` of a row counts its changes, so the lines of a row have to read 1, 2, 3 and so on.
 */
const WRITERS = 20;
const ROWS = 1_000;
const BATCH = 25;

export interface FeedLoad {
  readonly url: string;
  readonly changes: number;
  /** Cuts off the session of a writer or of the reader about so often. Never: 0. */
  readonly killEveryMs?: number;
}

export interface FeedLoadResult {
  readonly committed: number;
  readonly missed: number;
  readonly outOfOrder: number;
  /** Read again because the reader was cut off before it acknowledged. */
  readonly repeated: number;
  readonly missedByNumber: number;
  readonly kills: number;
  readonly ms: number;
}

type Line = { readonly cursor: string; readonly id: string; readonly run_id: string };

/** A session that is opened again whenever it was cut off; what was being done then is done again by the caller. */
function createSession(url: string) {
  let client: pg.Client | null = null;
  const drop = () => {
    const dropped = client;
    client = null;
    dropped?.end().catch(() => {});
  };
  return {
    /** False: it was cut off meanwhile. */
    async use(work: (client: pg.Client) => Promise<void>): Promise<boolean> {
      try {
        if (client === null) {
          const opened = new pg.Client({ connectionString: url, application_name: 'load' });
          opened.on('error', drop);
          await opened.connect();
          client = opened;
        }
        await work(client);
        return true;
      } catch (error) {
        drop();
        // Cut off (57P…), not yet accepting (57P03), or the connection itself was lost.
        const code = (error as { code?: string }).code;
        if (code !== undefined && !/^(57P|08|ECONN|EPIPE)/.test(code)) throw error;
        await delay(20);
        return false;
      }
    },
    end: async () => client?.end(),
  };
}

export async function runFeedLoad({ url, changes, killEveryMs = 0 }: FeedLoad): Promise<FeedLoadResult> {
  const from = performance.now();
  await withClient(url, async (client) => {
    await client.query(`insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id, status)
      select 'load', lpad(n::text, 4, '0'), '{}', '', 0, 0 from generate_series(0, ${ROWS - 1}) n`);
    await client.query(`select sync.ack_changes('load', null)`);
  });
  let toWrite = changes;
  let writing = WRITERS;
  const write = async (writer: number) => {
    const session = createSession(url);
    for (let round = 0; toWrite > 0; round++) {
      // Two stretches of rows, in the order of their ids, so that no two writers wait for each other.
      const starts = [
        (writer * 7 + round * 31) % (ROWS / 2),
        ROWS / 2 + ((writer * 13 + round * 17) % (ROWS / 2 - BATCH)),
      ];
      await session.use(async (client) => {
        await client.query('begin');
        for (const start of starts) {
          await client.query(
            `with own as materialized (select id from tiledesk.leads where connection_id = 'load' and id >= lpad($1::text, 4, '0')
              order by id limit ${BATCH} for update)
            update tiledesk.leads t set status = status + 1, run_id = run_id + 1 from own where t.connection_id = 'load' and t.id = own.id`,
            [start],
          );
          if ((writer + round) % 9 === 0) await delay((writer * 7 + round) % 15);
        }
        const isKept = (writer + round) % 11 !== 0;
        await client.query(isKept ? 'commit' : 'rollback');
        if (isKept) toWrite -= 2 * BATCH;
      });
    }
    await session.end();
    writing -= 1;
  };

  const seen = new Map<string, number>();
  let outOfOrder = 0;
  let repeated = 0;
  let byNumber = '0';
  let readByNumber = 0;
  const read = async () => {
    const session = createSession(url);
    for (let isAgain = false; ; ) {
      const isLast = writing === 0;
      let count = 0;
      const isDone = await session.use(async (client) => {
        const { rows: naive } = await client.query<Line>(
          'select seq as cursor, id, run_id from sync.changes where seq > $1 order by seq limit 5000',
          [byNumber],
        );
        byNumber = naive.at(-1)?.cursor ?? byNumber;
        readByNumber += naive.filter(({ run_id }) => run_id !== '0').length;
        const { rows } = await client.query<Line>(`select cursor, id, run_id from sync.read_changes('load', 5000)`);
        for (const { id, run_id } of rows) {
          const last = seen.get(id) ?? 0;
          const now = Number(run_id);
          if (now === last + 1) seen.set(id, now);
          else if (isAgain && now <= last) repeated += 1;
          else outOfOrder += 1;
        }
        count = rows.length + naive.length;
        isAgain = true;
        if (rows.length > 0) await client.query(`select sync.ack_changes('load', $1)`, [rows.at(-1)?.cursor]);
        isAgain = false;
      });
      if (isDone && isLast && count === 0) break;
      if (isDone && count === 0) await delay(5);
    }
    await session.end();
  };

  let kills = 0;
  const kill = async () => {
    while (writing > 0 && killEveryMs > 0) {
      await delay(killEveryMs);
      await withClient(url, async (client) => {
        const { rowCount } = await client.query(`select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'load' and datname = current_database() order by random() limit 1`);
        kills += rowCount ?? 0;
      }).catch(() => {});
    }
  };

  await Promise.all([...Array.from({ length: WRITERS }, (_, writer) => write(writer)), read(), kill()]);
  const rows = await withClient(
    url,
    async (client) =>
      (
        await client.query<{ id: string; run_id: string }>(
          `select id, run_id from tiledesk.leads where connection_id = 'load'`,
        )
      ).rows,
  );
  const committed = rows.reduce((sum, { run_id }) => sum + Number(run_id), 0);
  const missed = rows.reduce((sum, { id, run_id }) => sum + Number(run_id) - (seen.get(id) ?? 0), 0);
  const ms = Math.round(performance.now() - from);
  return { committed, missed, outOfOrder, repeated, missedByNumber: committed - readByNumber, kills, ms };
}
