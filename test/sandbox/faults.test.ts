import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Faults, retryAfterHeader } from '../../sandbox/faults.ts';
import { type Client, createClient, ids, type Row, staysSilent } from './client.ts';

let client: Client;

beforeEach(async () => {
  client = await createClient({ leads: 20, requests: 60 });
});

afterEach(() => client.close());

const all = '/requests?status=all&preflight=true&no_populate=true&limit=20';
const rowsOf = async (response: Response): Promise<Row[]> => ((await response.json()) as { requests: Row[] }).requests;

describe('a rule', () => {
  test('strikes once unless told otherwise, in the order of pushing', async () => {
    const { faults } = client.sandbox;
    faults.push({ kind: '503' }, { kind: '500', times: 2 });
    const statuses: number[] = [];
    for (let call = 0; call < 4; call++) statuses.push((await client.call(all)).status);
    expect(statuses).toEqual([503, 500, 500, 200]);
  });

  test('can name the list and which call of it', async () => {
    client.sandbox.faults.push({ kind: '500', match: { list: 'requests', nth: 2 } });
    const statuses: number[] = [];
    for (const path of [all, '/leads', all, '/leads', all]) statuses.push((await client.call(path)).status);
    expect(statuses).toEqual([200, 200, 500, 200, 200]);
  });

  test('can look at the call', async () => {
    client.sandbox.faults.push({ kind: '500', times: Infinity, match: (info) => info.query.get('page') === '1' });
    expect((await client.call(`${all}&page=1`)).status).toBe(500);
    expect((await client.call(`${all}&page=2`)).status).toBe(200);
    client.sandbox.faults.clear();
    expect((await client.call(`${all}&page=1`)).status).toBe(200);
  });
});

describe('429 and 503', () => {
  test('carry Retry-After as seconds, as a date, as any text, or not at all', async () => {
    const { faults } = client.sandbox;
    faults.push({ kind: '429', retryAfterMs: 2500 });
    faults.push({ kind: '429', retryAfter: 'date', retryAfterMs: 2500 });
    faults.push({ kind: '503', retryAfter: { raw: 'soon' } });
    faults.push({ kind: '503' });
    const hints: (string | null)[] = [];
    const startedAt = Date.now();
    for (let call = 0; call < 4; call++) hints.push((await client.call(all)).headers.get('retry-after'));
    expect([hints[0], hints[2], hints[3]]).toEqual(['3', 'soon', null]);
    const until = Date.parse(String(hints[1]));
    expect(until).toBeGreaterThanOrEqual(startedAt + 2500);
    expect(client.sandbox.log.map((entry) => entry.retryAfterMs !== undefined)).toEqual([true, true, false, false]);
  });

  test('waiting as told is always enough', () => {
    for (const ms of [0, 1, 999, 1000, 1001]) {
      const now = Date.now();
      expect(retryAfterHeader('seconds', ms).ms).toBeGreaterThanOrEqual(ms);
      expect(Date.parse(String(retryAfterHeader('date', ms).headers['Retry-After']))).toBeGreaterThanOrEqual(now + ms);
    }
  });
});

describe('the request limit', () => {
  test('refuses what is above it in a rolling window and tells when the window opens', async () => {
    const limited = await createClient({ requestsPerMinute: 3 });
    try {
      const statuses: number[] = [];
      for (let call = 0; call < 5; call++) statuses.push((await limited.call('/leads?limit=1')).status);
      expect(statuses).toEqual([200, 200, 200, 429, 429]);
      const last = limited.sandbox.log.at(-1);
      expect(last).toMatchObject({ status: 429, list: 'leads' });
      expect(last?.retryAfterMs).toBeGreaterThan(50_000);
      expect(last?.retryAfterMs).toBeLessThanOrEqual(60_000);
    } finally {
      await limited.close();
    }
  });

  test('lets through again as soon as the oldest call has left the window', async () => {
    const limited = await createClient({ requestsPerMinute: 1, rateWindowMs: 40, retryAfter: 'none' });
    try {
      expect((await limited.call('/leads?limit=1')).status).toBe(200);
      let response = await limited.call('/leads?limit=1');
      while (response.status === 429) {
        expect(response.headers.get('retry-after')).toBeNull();
        response = await limited.call('/leads?limit=1');
      }
      const [first, second] = limited.sandbox.log.filter((entry) => entry.status === 200);
      expect(Number(second?.at) - Number(first?.at)).toBeGreaterThanOrEqual(38);
    } finally {
      await limited.close();
    }
  });
});

describe('spoilt answers', () => {
  test('cut: half of a body with its full length, then the end', async () => {
    client.sandbox.faults.push({ kind: 'cut' });
    const response = await client.call(all);
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(1000);
    await expect(response.text()).rejects.toThrow();
  });

  test('reset: no answer at all', async () => {
    client.sandbox.faults.push({ kind: 'reset' });
    await expect(client.call(all)).rejects.toThrow('fetch failed');
    expect(client.sandbox.log.at(-1)).toMatchObject({ fault: 'reset', status: 0 });
  });

  test('hang: silence until close(), which ends the connection', async () => {
    client.sandbox.faults.push({ kind: 'hang', times: 2 });
    expect(await staysSilent((signal) => client.call(all, { signal }))).toBe(true);
    const { port } = new URL(client.url);
    const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
    socket.write(`GET /${client.sandbox.projectId}/leads HTTP/1.1\r\nHost: sandbox\r\n\r\n`);
    while (client.sandbox.log.length < 2) await new Promise((resolve) => setImmediate(resolve));
    const ended = once(socket, 'close');
    await client.close();
    await ended;
    expect(client.sandbox.log.map((entry) => entry.status)).toEqual([0, 0]);
  });

  test('slow: the answer comes after the delay, and not after close()', async () => {
    const { faults } = client.sandbox;
    faults.push({ kind: 'slow', delayMs: 60 });
    const startedAt = performance.now();
    expect((await rowsOf(await client.call(all))).length).toBe(20);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(58);
    const received = new Promise<void>((resolve) => {
      const match = (): boolean => {
        resolve();
        return true;
      };
      faults.push({ kind: 'slow', delayMs: 600_000, match });
    });
    const pending = request(`${client.url}/${client.sandbox.projectId}/leads`);
    const failed = once(pending, 'error');
    pending.end();
    await received;
    await client.close();
    await failed;
  });

  test('401 as text, HTML with status 200, garbled JSON', async () => {
    client.sandbox.faults.push({ kind: '401-text' }, { kind: 'html-200' }, { kind: 'garbled-json' });
    const refused = await client.call(all);
    expect([refused.status, await refused.text()]).toEqual([401, 'Unauthorized']);
    const page = await client.call(all);
    expect([page.status, (await page.text()).slice(0, 6)]).toEqual([200, '<html>']);
    const garbled = await client.call(all);
    expect(garbled.headers.get('content-type')).toContain('application/json');
    const text = await garbled.text();
    expect(() => JSON.parse(text)).toThrow(SyntaxError);
  });

  test('an empty list and a page shorter than it should be', async () => {
    client.sandbox.faults.push({ kind: 'empty-list', times: 2 }, { kind: 'truncated-page' });
    expect(await (await client.call(all)).json()).toEqual({ perPage: 20, count: 0, requests: [] });
    expect(await client.json('/departments/allstatus')).toEqual([]);
    const short = (await client.json(all)) as { perPage: number; count: number; requests: Row[] };
    expect([short.perPage, short.count, short.requests.length]).toEqual([20, 60, 10]);
  });
});

test('chaos is a share of the calls, the same for the same seed', async () => {
  const strike = (seed: number): string => {
    const faults = new Faults(() => undefined);
    faults.random({ rate: 0.3, kinds: ['500', 'cut'], seed });
    const info = { list: 'leads', nth: 1, method: 'GET', path: '/', query: new URLSearchParams() };
    return Array.from({ length: 300 }, () => faults.take(info)?.kind ?? '-').join('');
  };
  expect(strike(1)).toBe(strike(1));
  expect(strike(1)).not.toBe(strike(2));
  const calm = strike(1).split('-').length - 1;
  expect(calm).toBeGreaterThan(180);
  expect(calm).toBeLessThan(240);
  client.sandbox.faults.random({ rate: 1, kinds: ['500'], seed: 1 });
  expect((await client.call(all)).status).toBe(500);
  client.sandbox.faults.random(undefined);
  expect((await client.call(all)).status).toBe(200);
});

test('hooks come before the rows are read and after, so that rows can change between pages', async () => {
  const { data, faults } = client.sandbox;
  const seen: string[] = [];
  faults.beforeAnswer = ({ list, nth }) => {
    seen.push(`before ${list} ${nth}`);
    if (nth === 1) data.insertRequest({ request_id: 'came-before' });
  };
  faults.afterAnswer = ({ list, nth, ids: sent }) => {
    seen.push(`after ${list} ${nth}: ${sent.length}`);
    data.hardDeleteRequest(String(sent[0]));
  };
  const first = await rowsOf(await client.call(all));
  expect(first[0]?.request_id).toBe('came-before');
  const second = await rowsOf(await client.call(all));
  expect(ids(second)).not.toContain(first[0]?._id);
  expect(seen).toEqual(['before requests 1', 'after requests 1: 20', 'before requests 2', 'after requests 2: 20']);
});

test('a hook that throws shows as a status that no server has', async () => {
  client.sandbox.faults.beforeAnswer = () => {
    throw new Error('mistake in a test');
  };
  const response = await client.call(all);
  expect(response.status).toBe(599);
  expect(await response.text()).toContain('mistake in a test');
});

test('the log tells what was asked, without the prefix, and can be cleared', async () => {
  await client.call(`${all}&page=2`);
  await client.call('/leads/abc');
  const { sandbox } = client;
  expect(sandbox.log.map(({ method, path, list, status }) => ({ method, path, list, status }))).toEqual([
    { method: 'GET', path: `/${sandbox.projectId}/requests`, list: 'requests', status: 200 },
    { method: 'GET', path: `/${sandbox.projectId}/leads/abc`, list: 'lead', status: 500 },
  ]);
  expect(sandbox.log[0]?.query.get('page')).toBe('2');
  sandbox.clearLog();
  expect(sandbox.log).toEqual([]);
});

test('the Date header can be shifted against the real time', async () => {
  client.sandbox.faults.dateOffsetMs = -3600_000;
  const response = await client.call(all);
  const behindMs = Date.now() - Date.parse(String(response.headers.get('date')));
  expect(behindMs).toBeGreaterThanOrEqual(3600_000);
  expect(behindMs).toBeLessThan(3660_000);
});
