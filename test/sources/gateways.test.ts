/** What stands before an upstream and answers in its place, and answers that no reader should take as they are. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { existsAt } from '../../src/sources/tilkee/lists.ts';
import type { TilkeeStreamParts } from '../../src/sources/tilkee/parts.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { objectId, seededRandom } from '../helpers/shifting-list.ts';
import { fetchOptions, setupUpstream } from './tiledesk/support.ts';
import { setupTilkee, fetchOptions as tilkeeOptions } from './tilkee/sign-in-support.ts';

const random = seededRandom(1);

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean;
type Rewrite = (path: string, body: string) => string;

interface Gateway {
  readonly url: string;
  target: string;
  intercept: Intercept;
  rewrite: Rewrite;
}

/** Passes everything on to a target, but for what `intercept` answers itself, and `rewrite` changes. */
async function startGateway(): Promise<Gateway> {
  const gateway: { -readonly [K in keyof Gateway]: Gateway[K] } = {
    url: '',
    target: '',
    intercept: () => false,
    rewrite: (_, body) => body,
  };
  const server = createServer(async (request, response) => {
    if (gateway.intercept(request, response)) return;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? '/';
    const { host: _, 'content-length': __, connection: ___, ...headers } = request.headers as Record<string, string>;
    const answer = await fetch(`${gateway.target}${path}`, {
      method: request.method ?? 'GET',
      headers,
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
    response.end(gateway.rewrite(path, await answer.text()));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  opened.push({
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => {
        server.close(resolve);
      });
    },
  });
  gateway.url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  return gateway;
}

async function setupAccount() {
  const gateway = await startGateway();
  const upstream = await setupUpstream();
  opened.push(upstream);
  gateway.target = upstream.url;
  return { gateway, upstream, reached: upstream.reach({ baseUrl: gateway.url }) };
}

async function setupRun() {
  const gateway = await startGateway();
  const mirror = await setupMirror({ leads: 250, requests: 20 }, { TILEDESK_BASE_URL: gateway.url });
  opened.push(mirror);
  gateway.target = mirror.url;
  return { gateway, mirror };
}

/** A full read, and how many of its records were mapped at most before anything else had a turn. */
async function runCounting({ app }: MirrorSetup, name: string) {
  const found = app.findStream(app.connections[0]?.id ?? '', `tiledesk.${name}`);
  if (found === undefined) throw new Error(`no stream ${name}`);
  let [inRow, mostInRow] = [0, 0];
  const mapRecord = (record: unknown) => {
    inRow += 1;
    mostInRow = Math.max(mostInRow, inRow);
    return found.stream.mapRecord(record);
  };
  let turn = setImmediate(function next() {
    inRow = 0;
    turn = setImmediate(next);
  });
  const { signal } = new AbortController();
  const job = { ...found, pass: 'backfill', signal, maxWaitMs: 60_000, leaseWaitMs: 0 } as const;
  const run = await app.runPass({ ...job, stream: { ...found.stream, mapRecord } });
  clearImmediate(turn);
  return { run, mostInRow };
}

const failureOf = async (work: Promise<unknown>): Promise<Error> => {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing failed');
};

/** What gateways, firewalls, proxies and portals answer in place of a server. */
const PAGES: readonly (readonly [status: number, type: string, body: string])[] = [
  [403, 'text/html', '<html><head><title>403 Forbidden</title></head><body>nginx</body></html>'],
  [403, 'application/json', '{"message":"Forbidden"}'],
  [403, 'application/json', '{"Message":"User is not authorized to access this resource with an explicit deny"}'],
  [403, 'text/plain', 'error code: 1020'],
  [403, 'text/plain', ''],
  [401, 'text/html', '<html><body><h1>401 Authorization Required</h1></body></html>'],
  [401, 'application/json', '{"message":"Unauthorized"}'],
  [401, 'application/json', '{"message":"No API key found in request","request_id":"1"}'],
  [404, 'text/html', '<html><body>default backend - 404</body></html>'],
  [404, 'application/json', '{"message":"no Route matched with those values"}'],
  [400, 'text/html', '<html><body>400 Bad Request</body></html>'],
  [407, 'text/html', '<html>Proxy Authentication Required</html>'],
  [421, 'text/plain', 'Misdirected Request'],
  [451, 'text/html', '<html>Unavailable For Legal Reasons</html>'],
  [304, 'text/html', ''],
  [401, 'text/plain', 'Unauthorized\n'],
  [401, 'application/json', '{"error":"Unauthorized"}'],
  [400, 'application/json', '{"error":"Bad Request"}'],
  [403, 'application/problem+json', '{"type":"about:blank","title":"Forbidden","status":403,"detail":"Error 1020"}'],
  [403, 'application/json', '{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}'],
  [403, 'application/json', '{"success":false,"errors":[{"code":10000,"message":"no"}],"messages":[],"result":null}'],
  [422, 'application/json', '{"errors":["no"]}'],
  [404, 'application/json', '{"timestamp":"2026-01-01T00:00:00Z","status":404,"error":"Not Found","path":"/x"}'],
  [404, 'application/json', '{"statusCode":404,"error":"Not Found","message":"Route GET:/x not found"}'],
  [404, 'application/json', '{"errors":[{"status":"404","title":"Not Found"}]}'],
  [404, 'text/plain', '404 page not found\n'],
  [404, 'text/plain', ''],
  [410, 'text/plain', 'Gone'],
  [410, 'application/json', '{"message":"Gone"}'],
];

const answering =
  ([status, type, body]: (typeof PAGES)[number]): Intercept =>
  (request, response) => {
    request.resume();
    response.writeHead(status, { 'content-type': type }).end(body);
    return true;
  };

describe.each(PAGES)('a gateway that answers %i %s %s', (...page) => {
  it('is tried again, and never blamed on the account: at a list, at the sign-in, by id', async () => {
    const { gateway, reached } = await setupAccount();
    let left = 1;
    const once: Intercept = (request, response) => left-- > 0 && answering(page)(request, response);
    const list = () => reached.api.get('leads', new URLSearchParams({ limit: '1' }), fetchOptions());

    gateway.intercept = once;
    expect(await list()).toMatchObject({ status: 200 });
    left = 1;
    expect(await list()).toMatchObject({ status: 200 });

    gateway.intercept = answering(page);
    expect(await failureOf(list())).toMatchObject({
      code: 'upstream_unavailable',
      message: expect.stringContaining('something in between has answered'),
    });
    const byId = reached.api.exists(`leads/${objectId(1_700_000_000_000, random)}`, fetchOptions());
    if (page[0] === 404) expect(await byId).toBeNull();
    else expect(await failureOf(byId)).toMatchObject({ code: 'upstream_unavailable' });
  });
});

it('an answer by id that is no object, as a portal may send, does not say that the object was deleted', async () => {
  const { gateway, reached } = await setupAccount();
  for (const body of ['null', '[]', '"ok"', 'false', '0']) {
    gateway.intercept = (request, response) =>
      request.url?.includes('/leads/') === true && answering([200, 'application/json', body])(request, response);
    expect(await reached.api.exists(`leads/${objectId(1_700_000_000_000, random)}`, fetchOptions())).toBeNull();
  }
});

/** Beside the pages of gateways that have a form of their own in Tiledesk's eyes only. */
const TILKEE_PAGES = [...PAGES, [404, 'application/json', '{"success":false,"msg":"Object not found."}']] as const;

describe.each(TILKEE_PAGES)('Tilkee behind a gateway that answers %i %s %s', (...page) => {
  it('is not blamed, and nothing of it counts as deleted', async () => {
    const gateway = await startGateway();
    const tilkee = await setupTilkee();
    opened.push(tilkee);
    gateway.target = tilkee.url;
    const at = (path: string) => `${gateway.url}${path}`;
    const settings = { v3Url: at('/v3'), v2Url: at('/v2') };
    const query = () => new URLSearchParams({ limit: '2' });
    const foreign = { code: 'upstream_unavailable', message: expect.stringContaining('something in between') };

    const key = { kind: 'key', accessToken: tilkee.sandbox.accessKey } as const;
    for (const account of [{ auth: key }, {}]) {
      const { api } = tilkee.start({ ...account, settings });
      const list = () => api.get('v2', '/projects', query(), tilkeeOptions());
      expect(await list()).toMatchObject({ status: 200 });
      gateway.intercept = (request, response) =>
        request.url?.includes('/oauth/') !== true && answering(page)(request, response);
      const parts = { api, settings, privacy: {} } as unknown as TilkeeStreamParts;
      for (const work of [list(), existsAt(parts, 'v2', '/projects/1', tilkeeOptions())]) {
        expect(await failureOf(work)).toMatchObject(foreign);
      }
      if (account.auth === undefined) {
        expect(await failureOf(existsAt(parts, 'v3', '/projects/1/', tilkeeOptions()))).toMatchObject(foreign);
      }
      gateway.intercept = () => false;
      expect(await list()).toMatchObject({ status: 200 });
    }

    gateway.intercept = answering(page);
    const { api } = tilkee.start({ settings: { ...settings, authUrl: gateway.url } });
    expect(await failureOf(api.openAccount(tilkeeOptions()))).toMatchObject(foreign);
  });
});

describe('a list answer', () => {
  const isLeads = (path: string) => path.includes('/leads?');

  it('with more records than were asked for is refused before any is mapped', async () => {
    const { gateway, mirror } = await setupRun();
    const many = JSON.stringify({ leads: Array.from({ length: 100_000 }, () => ({})), count: 100_000, perPage: 100 });
    gateway.rewrite = (path, body) =>
      isLeads(path) && path.includes('limit=1') && path.includes('page=') ? many : body;
    const { run, mostInRow } = await runCounting(mirror, 'leads');
    expect(run).toMatchObject({ outcome: 'failed', error: { code: 'page_too_large' } });
    expect(mostInRow).toBe(0);
    expect(await mirror.app.database.prisma.syncQuarantine.count()).toBe(0);
  });

  it('of a list without pages has a bound of its own', async () => {
    const { gateway, mirror } = await setupRun();
    gateway.rewrite = (path, body) =>
      path.includes('departments') ? JSON.stringify(Array.from({ length: 50_001 }, () => ({}))) : body;
    const run = await mirror.run('departments', 'backfill');
    expect(run).toMatchObject({ outcome: 'failed', error: { code: 'list_too_large' } });
  });

  it('of a list without pages is worked through in slices, so that signals are served in between', async () => {
    const { gateway, mirror } = await setupRun();
    gateway.rewrite = (path, body) => {
      if (!path.includes('departments')) return body;
      const [first] = JSON.parse(body) as object[];
      const copy = (_: unknown, index: number) => ({
        ...first,
        _id: objectId(1_700_000_000_000 + index * 1000, random),
      });
      return JSON.stringify(Array.from({ length: 5_000 }, copy));
    };
    const { run, mostInRow } = await runCounting(mirror, 'departments');
    expect(run).toMatchObject({ outcome: 'succeeded', created: 5_000 });
    expect(mostInRow).toBeLessThanOrEqual(1_000);
  });

  it.each([
    ['empty records', () => `{"leads":[${'{},'.repeat(20_000_000)}{}]}`],
    ['numbers', () => `{"leads":[${'1,'.repeat(30_000_000)}1]}`],
    ['one name many times', () => `{"leads":[{${'"a":0,'.repeat(10_000_000)}"a":1}]}`],
    ['lists in lists', () => `{"leads":${'['.repeat(30_000_000)}${']'.repeat(30_000_000)}}`],
  ])(
    'of sixty megabytes of %s is refused while it arrives: in memory, in time, without holding up signals',
    async (_, make) => {
      const { gateway, mirror } = await setupRun();
      const huge = make();
      gateway.rewrite = (path, body) => (isLeads(path) ? huge : body);
      // Of the processor's time: a busy machine is no hold-up of ours.
      let longestMs = 0;
      let cpu = process.cpuUsage();
      const pulse = setInterval(() => {
        const { user, system } = process.cpuUsage(cpu);
        longestMs = Math.max(longestMs, (user + system) / 1000);
        cpu = process.cpuUsage();
      }, 20);
      const run = await mirror.run('leads', 'backfill');
      clearInterval(pulse);
      expect(run).toMatchObject({ outcome: 'failed', error: { code: 'response_too_large' } });
      // The gateway runs in this process, too.
      expect(longestMs).toBeLessThan(2_000);
    },
  );

  it.each([
    ['nested 10,000 deep', `{"_id":"65f000000000000000000001","x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['nested 200,000 deep', `{"_id":"65f000000000000000000001","x":${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}}`],
    [
      'with names that objects have anyway',
      '{"_id":"65f000000000000000000001","__proto__":{"x":1},"constructor":1,"toString":2}',
    ],
    ['with a number beyond any', '{"_id":"65f000000000000000000001","status":1e999,"createdAt":-1e999}'],
    ['with one field of ten megabytes', `{"_id":"65f000000000000000000001","fullname":"${'x'.repeat(10_000_000)}"}`],
    ['that is no object', '[1,"x",null]'],
  ])('with a record %s costs that record only', async (_, record) => {
    const { gateway, mirror } = await setupRun();
    gateway.rewrite = (path, body) => {
      if (!isLeads(path) || !body.includes('"_id"')) return body;
      return body.replace(/"leads":\[\{/, () => `"leads":[${record},{`);
    };
    const run = await mirror.run('leads', 'backfill');
    expect(run.error?.code ?? null).not.toBe('bug');
  });
});

describe('an id that is no ObjectId, in a list sorted by id', () => {
  it.each([
    ['a text', '"between"'],
    ['upper case', '"65F0000000000000000000AB"'],
    ['a number', '42'],
    ['an object', '{"$oid":"x"}'],
    ['nothing', 'null'],
  ])('%s does not decide the order: the walk goes on and loses nothing', async (_, id) => {
    const { gateway, mirror } = await setupRun();
    // One row of each page changes its id; the row itself is then another one.
    gateway.rewrite = (path, body) => {
      if (!path.includes('/leads?') || !path.includes('sort=_id')) return body;
      let seen = 0;
      return body.replace(/"_id":"[0-9a-f]{24}"/g, (found) => (++seen % 7 === 3 ? `"_id":${id}` : found));
    };
    const run = await mirror.run('leads', 'backfill');
    expect(['succeeded', 'partial']).toContain(run.outcome);
    expect(run.error?.code ?? 'quarantined').toBe('quarantined');
    const { leads } = mirror.sandbox.data;
    const stored = await mirror.app.database.prisma.$queryRaw<
      { n: number }[]
    >`select count(*)::int as n from tiledesk.leads`;
    // Every page repeats a part of the one before, so that rows whose id was changed once are met again with their own.
    expect(stored[0]?.n).toBeGreaterThan(leads.size * 0.8);
  });

  it('a list that is truly unsorted is refused all the same', async () => {
    const { gateway, mirror } = await setupRun();
    gateway.rewrite = (path, body) => {
      if (!path.includes('/leads?') || !path.includes('sort=_id')) return body;
      const parsed = JSON.parse(body) as { leads: unknown[] };
      return JSON.stringify({ ...parsed, leads: parsed.leads.reverse() });
    };
    expect(await mirror.run('leads', 'backfill')).toMatchObject({ outcome: 'failed', error: { code: 'not_sorted' } });
  });
});
