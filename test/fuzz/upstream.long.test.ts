import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox, type TilkeeSandbox } from '../../sandbox/tilkee.ts';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import fc, { seed } from '../helpers/property.ts';
import { tilkeeVariables } from '../helpers/tilkee-mirror.ts';

const RUNS = Number(process.env.FUZZ_ANSWERS ?? 50);
const SECRET = 'c4n4ry-in-an-answer';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

const word = fc.constantFrom(SECRET, '', '0', 'null', '1e20', '\u{1f600}', 'x'.repeat(3_000));
const value = fc.oneof(
  fc.json(),
  word.map((text) => JSON.stringify(text)),
);
const KEYS = [
  ...[
    'success',
    'msg',
    'error',
    'error_description',
    'message',
    'token',
    'user',
    '_id',
    'id',
    'role',
    'user_role',
    'project',
  ],
  ...[
    'leads',
    'requests',
    'count',
    'total',
    'perPage',
    'access_token',
    'refresh_token',
    'expires_in',
    'token_type',
    'data',
    'contents',
  ],
  ...['errors', 'code', 'status', 'updatedAt', 'createdAt', '__proto__', 'length'],
];
const object = fc
  .array(fc.tuple(fc.constantFrom(...KEYS), value), { maxLength: 6 })
  .map((pairs) => `{${pairs.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`);
const body = fc.oneof(
  object,
  fc.array(object, { maxLength: 3 }).map((all) => `[${all.join(',')}]`),
  value,
  fc.constantFrom(
    '',
    'null',
    '[]',
    '{}',
    '{"leads":{}}',
    '{"success":false,"msg":"Unauthorized."}',
    '<html>Login</html>',
    '{"a":',
  ),
  fc.constant('['.repeat(10_000) + ']'.repeat(10_000)),
  fc.string({ unit: 'binary' }),
);
const headers = fc.record(
  {
    'content-type': fc.constantFrom('application/json', 'text/html', 'application/json; charset=utf-16', 'x', ''),
    'retry-after': fc.constantFrom('0', '-1', '1e20', 'soon', 'Thu, 01 Jan 1970 00:00:00 GMT', '99999999999999999999'),
    location: fc.constantFrom(
      '/',
      '//evil.example',
      'http://[',
      'javascript:1',
      `https://evil.example/?${SECRET}`,
      '\u00e9',
    ),
    'content-encoding': fc.constantFrom('gzip', 'br', 'deflate', 'zstd', 'nonsense', 'gzip, gzip'),
    'x-ratelimit-limit': fc.constantFrom('0', '-1', 'NaN', '1e400'),
    'x-ratelimit-remaining': fc.constantFrom('0', '-5', 'x'),
    'www-authenticate': fc.constant(`Bearer realm="${SECRET}"`),
    'set-cookie': fc.constant(`a=${SECRET}`),
    date: fc.constantFrom('never', 'Thu, 01 Jan 2099 00:00:00 GMT'),
  },
  { requiredKeys: [] },
);
const status = fc.constantFrom(
  ...[200, 200, 200, 201, 204, 206, 207, 226, 300, 301, 302, 304, 307, 399, 400, 401, 402, 403, 404],
  ...[
    405, 406, 408, 409, 410, 413, 418, 421, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504, 505, 511, 520, 599, 600,
    999,
  ],
);
const answer: fc.Arbitrary<Answer> = fc.record({ status, headers, body });

let tiledesk: TiledeskSandbox;
let tilkee: TilkeeSandbox;
let database: TestDatabase;
let client: pg.Client;
let proxy: Server;
let cwd: string;
let env: Record<string, string>;
const targets: string[] = [];
/** What this run is answered, in turn; before that `real` requests are passed on. */
let answers: readonly Answer[] = [];
let real = 0;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-fuzz-'));
  tiledesk = createTiledeskSandbox({ leads: 3, requests: 3 });
  tilkee = createTilkeeSandbox({ projects: 2, items: 2, tokens: 2, visits: 2, users: 2 });
  const { url } = await tiledesk.listen();
  const address = await tilkee.listen();
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  let asked = 0;
  proxy = createServer((request, response) => void reply(request, response, asked++).catch(() => response.destroy()));
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const own = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const by = (target: string) => {
    const { origin, pathname } = new URL(target);
    return `${own}/${targets.push(origin) - 1}${pathname}`.replace(/\/$/, '');
  };
  const { v3Url, v2Url, authUrl } = address;
  env = {
    ...variables(tiledesk, by(url), database.url),
    ...tilkeeVariables(tilkee, { ...address, v3Url: by(v3Url), v2Url: by(v2Url), authUrl: by(authUrl) }, database.url),
    RETRY_ATTEMPTS: '1',
    RETRY_MAX_SECONDS: '0',
    HTTP_TIMEOUT_SECONDS: '3',
  };
});
afterAll(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await tiledesk.close();
  await tilkee.close();
  await client.end();
  await database.drop();
  await rm(cwd, { recursive: true });
});

async function reply(request: IncomingMessage, response: ServerResponse, asked: number): Promise<void> {
  const [, index = '0', path = '/'] = /^\/(\d+)(.*)$/.exec(request.url ?? '') ?? [];
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { host: _, connection: __, 'content-length': ___, ...given } = request.headers;
  if (real-- > 0) {
    const sent = chunks.length === 0 ? {} : { body: Buffer.concat(chunks) };
    const passed = await fetch(`${targets[Number(index)]}${path}`, {
      method: request.method ?? 'GET',
      headers: { ...given, 'accept-encoding': 'identity' } as unknown as Record<string, string>,
      ...sent,
    });
    response.writeHead(passed.status, { 'content-type': passed.headers.get('content-type') ?? '' });
    response.end(Buffer.from(await passed.arrayBuffer()));
    return;
  }
  const { status, headers, body } = answers[asked % answers.length] ?? { status: 500, headers: {}, body: '' };
  response.writeHead(status, headers);
  response.end(body);
}

const FAULTS: readonly (readonly [RegExp, string])[] = [
  [/^\s*at .+:\d+.*$/m, 'prints a stack'],
  [/.*(unexpected error|did not foresee|"bug"|\bbug\b).*/i, 'is a bug'],
  [/.*"?unexpected: .*/, 'is unexpected'],
  [/.*c4n4ry.*/, 'shows what was answered'],
];

it('whatever an upstream answers, no command calls it a bug', async () => {
  const faults = new Set<string>();
  const runs = fc.sample(fc.tuple(fc.array(answer, { minLength: 1, maxLength: 4 }), fc.nat(6)), {
    numRuns: RUNS,
    seed,
  });
  const commands = [['check', '--json'], ['sync', '--json', '--pass', 'reconcile'], ['check'], ['verify']];
  for (const [at, [given, passed]] of runs.entries()) {
    answers = given;
    real = passed;
    await client.query('truncate sync.budgets');
    const args = commands[at % commands.length] ?? [];
    const { code, stdout, stderr } = await runInProcess(args, env, { cwd });
    const said = `${stdout}\n${stderr}`;
    const fault = FAULTS.find(([pattern]) => pattern.test(said));
    const excerpt = fault === undefined ? `exit ${code}: ${said.slice(0, 300)}` : said.match(fault[0])?.[0];
    if (fault === undefined && [0, 1, 3].includes(code)) continue;
    faults.add(`${args.join(' ')} ${fault?.[1]}: ${excerpt} <- ${JSON.stringify(given).slice(0, 500)}`);
  }
  expect({ seed, faults: [...faults] }).toEqual({ seed, faults: [] });
}, 240_000);
