import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase } from '../../src/store/database.ts';
import { databaseError } from '../../src/store/faults.ts';
import { assertReachable, openSession } from '../../src/store/session.ts';
import { createPostgresQueueBackend } from '../../workers/queue-postgres.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { type FakePostgres, type PostgresTrouble, startFakePostgres } from '../helpers/fake-postgres.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { createSelfSigned } from '../http/self-signed.ts';

const good = createSelfSigned('localhost');
const DAY = 86_400_000;
const CERTIFICATES = {
  other: createSelfSigned('another.example'),
  expired: createSelfSigned('localhost', { fromMs: -2 * DAY, untilMs: -DAY }),
  early: createSelfSigned('localhost', { fromMs: DAY, untilMs: 2 * DAY }),
};

const NOT_ENCRYPTED = { sqlstate: '28000', message: 'no pg_hba.conf entry for host "h", user "u", no encryption' };
const ENCRYPTED_ONLY: PostgresTrouble = { tls: good, plain: NOT_ENCRYPTED };

let database: TestDatabase;
let directory: string;
const paths: Record<string, string> = {};
beforeAll(async () => {
  database = await createTestDatabase();
  directory = await mkdtemp(join(tmpdir(), 'leadmirror-tls-'));
  const files = { good: good.cert, key: good.key, notPem: 'no certificate', otherKey: CERTIFICATES.other.key };
  for (const [name, { cert }] of Object.entries(CERTIFICATES)) Object.assign(files, { [name]: cert });
  for (const [name, text] of Object.entries(files)) {
    paths[name] = join(directory, `${name}.pem`);
    await writeFile(paths[name], text);
  }
});
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});
afterAll(async () => {
  await database.drop();
  await rm(directory, { recursive: true, force: true });
});

async function serve(trouble: PostgresTrouble): Promise<FakePostgres> {
  const fake = await startFakePostgres(database.url, trouble);
  opened.push(fake);
  return fake;
}

/** `$name` in a parameter is the path of that file. */
function address(url: string, query: string, host = 'localhost'): string {
  const parsed = new URL(url);
  parsed.hostname = host;
  parsed.search = query.replace(/\$(\w+)/g, (_, name: string) => paths[name] ?? `/nowhere/${name}.pem`);
  return parsed.href;
}

describe('sslmode means what it means to psql', () => {
  it.each<[string, PostgresTrouble, string]>([
    ['no mode, a server that takes TLS only', ENCRYPTED_ONLY, ''],
    ['no mode, a server without TLS', {}, ''],
    ['prefer, a server without TLS', {}, 'sslmode=prefer'],
    ['prefer, a server that hangs up when asked for TLS', { tls: 'close' }, 'sslmode=prefer'],
    ['prefer, TLS only', ENCRYPTED_ONLY, 'sslmode=prefer'],
    ['allow, TLS only', ENCRYPTED_ONLY, 'sslmode=allow'],
    ['allow, without TLS', {}, 'sslmode=allow'],
    ['disable', { tls: 'close' }, 'sslmode=disable'],
    ['require', ENCRYPTED_ONLY, 'sslmode=require'],
    ['require takes any certificate', { ...ENCRYPTED_ONLY, tls: CERTIFICATES.expired }, 'sslmode=require'],
    [
      'require with another certificate, no authority given',
      { ...ENCRYPTED_ONLY, tls: CERTIFICATES.other },
      'sslmode=require',
    ],
    [
      'verify-ca looks at no name',
      { ...ENCRYPTED_ONLY, tls: CERTIFICATES.other },
      'sslmode=verify-ca&sslrootcert=$other',
    ],
    ['verify-full', ENCRYPTED_ONLY, 'sslmode=verify-full&sslrootcert=$good'],
    ['the words of node-postgres', ENCRYPTED_ONLY, 'ssl=no-verify'],
    [
      'with the words of hosting services',
      ENCRYPTED_ONLY,
      'sslmode=require&channel_binding=require&uselibpqcompat=true',
    ],
    ['a client certificate', ENCRYPTED_ONLY, 'sslmode=require&sslcert=$good&sslkey=$key'],
  ])('%s: connects', async (_, trouble, query) => {
    const { url } = await serve(trouble);
    await assertReachable(address(url, query));
  });

  it('prefer takes the other way where pg_hba.conf allows only that', async () => {
    let refused = 0;
    const { url } = await serve({ tls: good, startUp: () => (refused++ === 0 ? NOT_ENCRYPTED : null) });
    await assertReachable(address(url, ''));
    expect(refused).toBe(2);
  });

  it.each<[string, PostgresTrouble, string, RegExp]>([
    ['disable, TLS only', ENCRYPTED_ONLY, 'sslmode=disable', /pg_hba\.conf allows no such connection.*sslmode/],
    ['require, without TLS', {}, 'sslmode=require', /the server has no TLS/],
    ['verify-full, without TLS', {}, 'sslmode=verify-full', /the server has no TLS/],
    ['an unknown authority', { tls: good }, 'sslmode=verify-full', /authority that is not known here.*sslrootcert/],
    ['another authority', { tls: good }, 'sslmode=verify-ca&sslrootcert=$other', /authority that is not known here/],
    [
      'another authority with require',
      { tls: good },
      'sslmode=require&sslrootcert=$other',
      /authority that is not known/,
    ],
    ['another name', { tls: CERTIFICATES.other }, 'sslmode=verify-full&sslrootcert=$other', /for another name/],
    ['an expired certificate', { tls: CERTIFICATES.expired }, 'sslmode=verify-ca&sslrootcert=$expired', /has expired/],
    ['one of tomorrow', { tls: CERTIFICATES.early }, 'sslmode=verify-ca&sslrootcert=$early', /not valid yet/],
    [
      'an authority that is no file',
      { tls: good },
      'sslmode=verify-ca&sslrootcert=$absent',
      /cannot read .*absent.*sslrootcert/,
    ],
    [
      'a certificate that is no file',
      { tls: good },
      'sslmode=require&sslcert=$absent&sslkey=$key',
      /cannot read .*absent.*sslcert/,
    ],
    ['an authority that is no PEM', { tls: good }, 'sslmode=verify-ca&sslrootcert=$notPem', /PEM|authority/],
    ['a certificate that is no PEM', { tls: good }, 'sslmode=require&sslcert=$notPem&sslkey=$key', /PEM/],
    [
      'a key of another certificate',
      { tls: good },
      'sslmode=require&sslcert=$good&sslkey=$otherKey',
      /do not belong together/,
    ],
    [
      'direct, to a server that does not know it',
      { tls: good },
      'sslmode=require&sslnegotiation=direct',
      /PostgreSQL 17/,
    ],
    ['something else that answers', { tls: 'garbage' }, 'sslmode=require', /does not speak as Postgres/],
  ])('%s: says so', async (_, trouble, query, sentence) => {
    const { url } = await serve(trouble);
    await expect(assertReachable(address(url, query))).rejects.toMatchObject({
      code: 'database_refused',
      message: expect.stringMatching(sentence),
    });
  });

  it('a port that nobody listens on is still away, and no matter of TLS', async () => {
    const port = await findClosedPort();
    await expect(assertReachable(`postgres://u:p@127.0.0.1:${port}/d?sslmode=verify-full`)).rejects.toMatchObject({
      code: 'database_unavailable',
    });
  });
});

it('holds for the pool of Prisma and that of the queue, too, with the same sentences', async () => {
  const { url } = await serve(ENCRYPTED_ONLY);
  const ask = async (query: string) => {
    const there = address(url, query);
    const database = createDatabase({ url: there, logger: unheardLogger() });
    const queue = createPostgresQueueBackend({ databaseUrl: there, onError: () => {} });
    const session = openSession(there).then((opened) => opened.end());
    const answers = await Promise.allSettled([database.prisma.$queryRaw`select 1`, queue.ping(), session]);
    await Promise.all([database.close(), queue.close()]);
    return answers.map((answer) =>
      answer.status === 'rejected' ? (databaseError(answer.reason, 'there') as Error).message : 'connected',
    );
  };
  expect(await ask('')).toEqual(['connected', 'connected', 'connected']);
  const refused = expect.stringMatching(/^database .*: its certificate is signed by an authority/);
  expect(await ask('sslmode=verify-full')).toEqual([refused, refused, refused]);
});
