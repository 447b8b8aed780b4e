// Keeps a table of another database in step with the leads of the mirror, through the feed of changes (docs/changes.md).
//
//   npm install leadmirror pg
//   SYNC_FEED_STREAMS=tiledesk.leads leadmirror start    # or in .env: only then the feed has the leads
//   DATABASE_URL=postgres://…/mirror COPY_URL=postgres://…/other node examples/second-table.mjs
//
// A run copies what changed since the last one, and ends; cron or a loop repeats it. The first run copies all leads. A run that is stopped at any
// moment loses nothing: what it did not acknowledge is read again, and to copy a row twice does no harm.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';

const CONSUMER = 'second-table';
const STREAM = 'tiledesk.leads';
const { DATABASE_URL, COPY_URL } = process.env;
const program = process.env.LEADMIRROR ?? fileURLToPath(new URL('../bin/leadmirror.js', import.meta.url));

const mirror = new pg.Client({ connectionString: DATABASE_URL });
const copy = new pg.Client({ connectionString: COPY_URL });

/** Acknowledges the changes up to `cursor`, and returns the next ones. The first call registers the consumer. */
async function readChanges(cursor) {
  const words = ['changes', '--consumer', CONSUMER, '--limit', '1000', ...(cursor ? ['--ack', cursor] : [])];
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words], { maxBuffer: 64 * 1024 * 1024 });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const ALIVE = `select connection_id, id, fullname, email, status from ${STREAM} where deleted_at is null and erased_at is null`;

const insert = (rows) =>
  copy.query('insert into leads_copy select * from jsonb_populate_recordset(null::leads_copy, $1)', [
    JSON.stringify(rows),
  ]);

/** All rows, in one transaction: where the table is there, it is whole. */
async function copyAll() {
  await copy.query(`begin; create table leads_copy
    (connection_id text, id text, fullname text, email text, status integer, primary key (connection_id, id))`);
  for (let behind = ['', '']; ; ) {
    const page = `${ALIVE} and (connection_id, id) > ($1, $2) order by connection_id, id limit 5000`;
    const { rows } = await mirror.query(page, behind);
    if (rows.length === 0) break;
    await insert(rows);
    behind = [rows.at(-1).connection_id, rows.at(-1).id];
  }
  await copy.query('commit');
}

/** The rows as the mirror has them now. Those that it does not have, or as deleted or erased, leave the copy. */
async function copyRows(changes) {
  const own = changes.filter(({ stream }) => stream === STREAM);
  const keys = [own.map(({ connection_id }) => connection_id), own.map(({ id }) => id)];
  const among = '(connection_id, id) in (select * from unnest($1::text[], $2::text[]))';
  const { rows } = await mirror.query(`${ALIVE} and ${among}`, keys);
  await copy.query('begin');
  await copy.query(`delete from leads_copy where ${among}`, keys);
  await insert(rows);
  await copy.query('commit');
  return own.length;
}

await Promise.all([mirror.connect(), copy.connect()]);
try {
  // A consumer begins with its registration. A copy from before it would lack what changed in between.
  const { rowCount } = await mirror.query('select from sync.consumers where name = $1', [CONSUMER]);
  if (rowCount === 0) await copy.query('drop table if exists leads_copy');
  let changes = await readChanges();
  const { rows } = await copy.query(`select to_regclass('leads_copy') is not null as "isCopied"`);
  if (!rows[0].isCopied) await copyAll();
  let copied = 0;
  while (changes.length > 0) {
    copied += await copyRows(changes);
    changes = await readChanges(changes.at(-1).cursor);
  }
  console.log(JSON.stringify({ isFirst: !rows[0].isCopied, copied }));
} catch (error) {
  // What leadmirror printed names the cause and what to do.
  process.stderr.write(error.stderr || `${error.message}\n`);
  process.exitCode = 1;
} finally {
  await Promise.all([mirror.end(), copy.end()]);
}
