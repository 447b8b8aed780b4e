import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createQueues } from '../../workers/queues.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { serverProgramForTests, startRedisOverTls, type TestRedisOverTls } from '../helpers/redis.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { createSelfSigned } from '../http/self-signed.ts';

const PASSWORD = 'p@ss:word';
const certificate = createSelfSigned('localhost');
const directory = await mkdtemp(join(tmpdir(), 'leadmirror-tls-'));
const caFile = join(directory, 'ca.pem');
await writeFile(caFile, certificate.cert);

const program = await serverProgramForTests();
const redis: TestRedisOverTls | null =
  program === null ? null : await startRedisOverTls({ program, directory, certificate });
afterAll(async () => {
  await redis?.close();
  await rm(directory, { recursive: true, force: true });
});

if (redis !== null) {
  describe(`Redis over TLS (${redis.terminatedBy})`, () => {
    let database: TestDatabase;
    beforeEach(async () => {
      database = await createTestDatabase();
      await redis.command(
        'ACL',
        'SETUSER',
        'mirror',
        'reset',
        'on',
        `>${PASSWORD}`,
        '~{leadmirror}*',
        '+@all',
        '-@admin',
      );
    });
    afterEach(() => database.drop());

    const url = (host = 'localhost', password = PASSWORD) =>
      `rediss://mirror:${encodeURIComponent(password)}@${host}:${redis.port}`;

    const inChild = async (redisUrl: string) => {
      const job = JSON.stringify({ databaseUrl: database.url, redisUrl });
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['--import', './test/helpers/typescript.js', 'test/workers/redis-child.ts', job],
        { env: { ...process.env, NODE_EXTRA_CA_CERTS: caFile }, timeout: 30_000 },
      );
      return stdout;
    };

    /** In this process, which trusts only the authorities that Node knows. */
    const failure = (redisUrl: string) =>
      createQueues({
        config: { redis: { urls: [redisUrl] } },
        databaseUrl: '',
        logger: unheardLogger(),
        reachMs: 300,
      }).then(
        () => 'reached',
        (error: Error) => error.message,
      );

    it('carries the runs, with user and password, where its authority is trusted', async () => {
      expect(await inChild(url())).toBe('succeeded: 3');
    });

    it('under another name than its certificate has is refused, with what to do', async () => {
      expect(await inChild(url('127.0.0.1'))).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID.*check the host in REDIS_URL/);
    });

    it('of an unknown authority is refused, with what to do', async () => {
      expect(await failure(url())).toMatch(/self-signed certificate.*name it in NODE_EXTRA_CA_CERTS/);
    });

    it('asked for where there is none is refused, with what to do', async () => {
      expect(await failure(`rediss://localhost:${redis.plainPort}`)).toMatch(/write redis:\/\/ instead of rediss:\/\//);
    });

    it('with a wrong password is refused, with what to do, and without the password', async () => {
      const message = await failure(`redis://mirror:not-it@localhost:${redis.plainPort}`);
      expect(message).toMatch(/WRONGPASS.*check user and password in REDIS_URL/);
      expect(message).not.toContain('not-it');
    });
  });
} else {
  it.todo('needs a redis-server or valkey-server on PATH');
}
