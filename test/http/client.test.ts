import { getEventListeners } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  ConfigError,
  isAbort,
  ResponseTooLargeError,
  TransientError,
  UpstreamContractError,
  UpstreamRefusedError,
} from '../../src/errors.ts';
import { HttpClient, type HttpClientOptions, type HttpRequest } from '../../src/http/client.ts';
import { networkCode, networkFailure } from '../../src/http/network-failure.ts';
import { redirectTarget } from '../../src/http/secure-url.ts';
import { createSelfSigned } from './self-signed.ts';
import { everythingIn, failureOf, json, listen, startServer, type TestServer, text } from './support.ts';

let server: TestServer;
let closers: (() => Promise<unknown>)[];

beforeEach(async () => {
  server = await startServer();
  closers = [server.close];
});

afterEach(async () => {
  for (const close of closers.reverse()) await close();
});

function createClient(options: Partial<HttpClientOptions> = {}): HttpClient {
  const client = new HttpClient({ timeoutMs: 20_000, ...options });
  closers.push(() => client.close());
  return client;
}

const get = (path: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url: `${server.url}${path}`,
  ...more,
});

/** Resolves when the server's side of the newest connection is gone: the proof that we did not keep reading. */
async function connectionClosed(): Promise<void> {
  const socket = [...server.sockets].at(-1);
  if (socket === undefined) throw new Error('no connection was made');
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
}

describe('an answer', () => {
  it.each([200, 204, 304, 400, 401, 403, 404, 413, 422, 429, 500, 503])(
    'is returned with status %d',
    async (status) => {
      server.script(text(status, status === 204 || status === 304 ? '' : 'Unauthorized'));
      const response = await createClient().send(get('/x'));
      expect(response.status).toBe(status);
    },
  );

  it('carries text, headers, the server time and our own times', async () => {
    const date = 'Thu, 15 Jan 2026 12:00:00 GMT';
    server.script(text(200, '\uFEFF{"a":"é"}', { date, 'x-thing': 'yes', 'set-cookie': 'connect.sid=canary' }));
    const before = Date.now();
    const response = await createClient().send(get('/x'));
    expect(response.text).toBe('{"a":"é"}');
    expect(response.headers).toMatchObject({ 'x-thing': 'yes' });
    expect(response.headers).not.toHaveProperty('set-cookie');
    expect(response.serverTime).toBe(Date.parse(date));
    expect(response.requestedAt).toBeGreaterThanOrEqual(before);
    expect(response.durationMs).toBeGreaterThan(0);
  });

  it('has no server time when the Date header is absent or unreadable', async () => {
    server.script(text(200, '', { date: 'yesterday' }), (_request, response) => {
      response.sendDate = false;
      response.end();
    });
    const client = createClient();
    expect((await client.send(get('/'))).serverTime).toBeNull();
    expect((await client.send(get('/'))).serverTime).toBeNull();
  });

  it('keeps no cookies', async () => {
    server.script(text(200, '{}', { 'set-cookie': 'connect.sid=1' }));
    const client = createClient();
    await client.send(get('/a'));
    await client.send(get('/b'));
    expect(server.headers.map(({ cookie }) => cookie)).toEqual([undefined, undefined]);
  });

  it('reuses one connection', async () => {
    const client = createClient();
    for (let i = 0; i < 5; i += 1) await client.send(get(`/${i}`));
    expect(server.requests).toHaveLength(5);
    expect(server.sockets.size).toBe(1);
  });

  it('sends method, headers and body as given', async () => {
    let received = '';
    server.script((request, response) => {
      request.on('data', (chunk) => {
        received += chunk;
      });
      request.on('end', () => response.end('{}'));
    });
    const headers = { authorization: 'JWT abc', 'content-type': 'application/json' };
    await createClient({ userAgent: 'leadmirror/1' }).send(
      get('/auth?x=1', { method: 'POST', headers, body: '{"é":1}' }),
    );
    expect(server.requests).toEqual(['POST /auth?x=1']);
    expect(server.headers[0]).toMatchObject({ authorization: 'JWT abc', 'user-agent': 'leadmirror/1' });
    expect(received).toBe('{"é":1}');
  });
});

describe('a compressed body', () => {
  const body = JSON.stringify({ rows: 'é'.repeat(50_000) });

  it.each([
    ['gzip', gzipSync(body)],
    ['br', brotliCompressSync(body)],
    ['GZIP', gzipSync(body)],
    ['gzip, gzip', gzipSync(body)],
    ['identity, gzip', gzipSync(body)],
  ])('in %s is decoded', async (encoding, packed) => {
    server.script((request, response) => {
      expect(request.headers['accept-encoding']).toBe('gzip, br');
      response.writeHead(200, { 'content-encoding': encoding }).end(packed);
    });
    expect((await createClient().send(get('/'))).text).toBe(body);
  });

  it('may be empty', async () => {
    server.script(
      text(204, '', { 'content-encoding': 'gzip' }),
      text(200, '', { 'content-encoding': 'gzip', 'content-length': '0' }),
    );
    const client = createClient();
    expect((await client.send(get('/'))).text).toBe('');
    expect((await client.send(get('/'))).text).toBe('');
  });

  it.each([
    ['rubbish', Buffer.from('this is not gzip')],
    ['half a stream', gzipSync(body).subarray(0, 40)],
  ])('that is %s is garbled', async (_name, packed) => {
    server.script((_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed));
    const failure = await failureOf(createClient().send(get('/')));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('upstream_garbled');
  });

  it('in an encoding that nobody asked for is refused', async () => {
    server.script(text(200, 'x', { 'content-encoding': 'zstd' }));
    const failure = await failureOf(createClient().send(get('/')));
    expect(failure).toBeInstanceOf(UpstreamContractError);
    expect(failure.code).toBe('unknown_encoding');
  });

  it('that unpacks beyond the limit is stopped there', async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 2 ** 20));
    expect(bomb.length).toBeLessThan(100_000);
    server.script((_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb));
    const failure = await failureOf(createClient().send(get('/', { maxBytes: 2 ** 20 })));
    expect(failure).toBeInstanceOf(ResponseTooLargeError);
    expect(failure.message).toContain('1 MiB');
  });
});

describe('the size limit', () => {
  it('refuses a declared size at once and drops the connection', async () => {
    server.script((_request, response) => {
      response.writeHead(200, { 'content-length': '5000' }).write('x');
    });
    expect(await failureOf(createClient({ maxBytes: 1000 }).send(get('/')))).toBeInstanceOf(ResponseTooLargeError);
    await connectionClosed();
  });

  it('stops an endless stream and drops the connection', async () => {
    server.script((_request, response) => {
      const feed = () => {
        while (!response.destroyed && response.write('x'.repeat(10_000)));
      };
      response.on('drain', feed);
      feed();
    });
    expect(await failureOf(createClient({ maxBytes: 100_000 }).send(get('/')))).toBeInstanceOf(ResponseTooLargeError);
    await connectionClosed();
  });

  it('accepts exactly the limit', async () => {
    server.script(text(200, 'x'.repeat(1000)));
    expect((await createClient({ maxBytes: 1000 }).send(get('/'))).text).toHaveLength(1000);
  });
});

describe('the time limit', () => {
  it('ends a request that is never answered', async () => {
    server.script(() => {});
    const failure = await failureOf(createClient().send(get('/leads?q=canary', { timeoutMs: 100 })));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('timeout');
    expect(failure.message).toContain('GET /leads');
    await connectionClosed();
  });

  it('includes the body', async () => {
    server.script((_request, response) => {
      response.writeHead(200).write('{"begun":');
    });
    const failure = await failureOf(createClient({ timeoutMs: 100 }).send(get('/')));
    expect(failure.code).toBe('timeout');
    await connectionClosed();
  });

  it('ends an answer that comes byte by byte, never silent for long', async () => {
    server.script((_request, response) => {
      response.writeHead(200).write('"');
      let bytes = 0;
      const drip = setInterval(() => {
        bytes += 1;
        if (bytes < 150) response.write('x');
        else response.end('"');
      }, 20);
      response.on('close', () => clearInterval(drip));
    });
    const failure = await failureOf(createClient({ timeoutMs: 400 }).send(get('/')));
    expect(failure.code).toBe('timeout');
    await connectionClosed();
  });

  it('includes redirects', async () => {
    server.script(text(302, '', { location: '/b' }), () => {});
    const failure = await failureOf(createClient({ timeoutMs: 100 }).send(get('/a')));
    expect(failure.code).toBe('timeout');
  });

  it('bounds the connecting too', async () => {
    // Accepts the connection and never speaks TLS.
    const silent = createTcpServer((socket) => sockets.push(socket));
    const sockets: Socket[] = [];
    const port = await listen(silent);
    closers.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
    });
    const failure = await failureOf(
      createClient({ timeoutMs: 50 }).send({ method: 'GET', url: `https://127.0.0.1:${port}/` }),
    );
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('timeout');
  });
});

describe('a broken network', () => {
  it('names host, port and cause when nothing listens', async () => {
    await server.close();
    const failure = await failureOf(createClient().send(get('/x')));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('network');
    expect(failure.message).toMatch(new RegExp(`^cannot reach 127\\.0\\.0\\.1:${server.port} \\(ECONNREFUSED\\): `));
  });

  it.each<[string, (socket: Socket) => void]>([
    ['closed without an answer', (socket) => socket.destroy()],
    ['reset', (socket) => socket.resetAndDestroy()],
  ])('is told as such when the connection is %s', async (_name, end) => {
    server.script((request) => end(request.socket));
    const failure = await failureOf(createClient().send(get('/x')));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('network');
    expect(failure.message).toMatch(/lost the connection to 127\.0\.0\.1:\d+ \([A-Z_]+\)/);
  });

  it.each([
    ['of known length', { 'content-length': '1000' }],
    ['in chunks', { 'transfer-encoding': 'chunked' }],
    ['compressed in chunks', { 'transfer-encoding': 'chunked', 'content-encoding': 'gzip' }],
  ])('is told as such when a body %s is cut', async (_name, headers) => {
    server.script((request, response) => {
      const start = 'content-encoding' in headers ? gzipSync('{"half":true}').subarray(0, 15) : '{"half":';
      response.writeHead(200, headers);
      response.write(start, () => request.socket.destroy());
    });
    const failure = await failureOf(createClient().send(get('/x')));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('network');
  });

  it('does not hide that the server asked for a pause when only the page to it is cut', async () => {
    server.script((request, response) => {
      response.writeHead(429, { 'retry-after': '7', 'content-length': '1000' });
      response.write('<html>', () => request.socket.destroy());
    });
    const response = await createClient().send(get('/x'));
    expect(response).toMatchObject({ status: 429, text: '' });
    expect(response.headers['retry-after']).toBe('7');
  });

  it('is told as such when the other side does not speak HTTP, without quoting it', async () => {
    const other = createTcpServer((socket) => {
      socket.on('error', () => {}).resume();
      socket.end('SSH-2.0-canary\r\n');
    });
    const port = await listen(other);
    closers.push(() => new Promise((resolve) => other.close(resolve)));
    const failure = await failureOf(createClient().send({ method: 'GET', url: `http://127.0.0.1:${port}/` }));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.message).toMatch(/\(HPE_.*does not speak HTTP/);
    expect(everythingIn(failure)).not.toContain('canary');
  });

  it('is told as such when the port does not speak TLS', async () => {
    const failure = await failureOf(createClient().send({ method: 'GET', url: `https://127.0.0.1:${server.port}/` }));
    expect(failure.code).toBe('network');
    expect(failure.message).toContain('check that the port speaks https');
  });

  it('points to NODE_EXTRA_CA_CERTS when the certificate is not trusted', async () => {
    const tls = createTlsServer(createSelfSigned('localhost'));
    const port = await listen(tls);
    closers.push(() => new Promise((resolve) => tls.close(resolve)));
    const failure = await failureOf(createClient().send({ method: 'GET', url: `https://127.0.0.1:${port}/` }));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('network');
    expect(failure.message).toContain('cannot trust');
    expect(failure.message).toContain('NODE_EXTRA_CA_CERTS');
  });

  it.each([
    ['ENOTFOUND', 'check its spelling'],
    ['EAI_AGAIN', 'DNS'],
    ['EHOSTUNREACH', 'firewall'],
    ['CERT_HAS_EXPIRED', 'NODE_EXTRA_CA_CERTS'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'another name'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'NODE_EXTRA_CA_CERTS'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'NODE_EXTRA_CA_CERTS'],
    ['UND_ERR_SOCKET', 'passes by itself'],
  ])('has a hint for %s', (code, hint) => {
    const cause = Object.assign(new Error('it went wrong'), { code, socket: { secret: 'canary' } });
    expect(networkCode(cause)).toBe(code);
    const failure = networkFailure(cause, { code, where: 'api.example.com:443', proxied: false });
    expect(failure.message).toContain(`api.example.com:443 (${code})`);
    expect(failure.message).toContain(hint);
    expect(everythingIn(failure)).not.toContain('canary');
  });
});

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])(
    'with %d on the same host is followed for GET, credentials included',
    async (status) => {
      server.script(text(status, 'moved', { location: '/b?page=2' }), json({ ok: true }));
      const response = await createClient().send(get('/a', { headers: { authorization: 'JWT abc' } }));
      expect(response.text).toBe('{"ok":true}');
      expect(server.requests).toEqual(['GET /a', 'GET /b?page=2']);
      expect(server.headers[1]?.authorization).toBe('JWT abc');
    },
  );

  it('is followed three times, not four', async () => {
    const again = text(302, '', { location: '/again' });
    const client = createClient();
    server.script(again, again, again, json({}));
    expect((await client.send(get('/'))).status).toBe(200);
    server.script(again);
    const failure = await failureOf(client.send(get('/')));
    expect(failure).toBeInstanceOf(UpstreamRefusedError);
    expect(failure).toMatchObject({ code: 'redirect_refused', status: 302 });
    expect(server.requests).toHaveLength(8);
  });

  it('never takes the credential to another host or port', async () => {
    const other = await startServer();
    closers.push(other.close);
    const client = createClient();
    const targets = [
      `${other.url}/b?token=canary`,
      `http://localhost:${server.port}/b`,
      '//other.example.com/b',
      'ftp://127.0.0.1/',
    ];
    for (const location of targets) {
      server.script(text(302, '', { location }));
      const failure = await failureOf(client.send(get('/a', { headers: { authorization: 'JWT abc' } })));
      expect(failure).toBeInstanceOf(UpstreamRefusedError);
      expect(failure.code).toBe('redirect_refused');
      expect(failure.message).toContain('must not leave its host');
      expect(everythingIn(failure)).not.toContain('canary');
    }
    expect(other.requests).toEqual([]);
    expect(server.requests).toHaveLength(targets.length);
  });

  it('without a readable target is refused', async () => {
    const client = createClient();
    for (const headers of [undefined, { location: 'http://[' }]) {
      server.script(text(302, '', headers));
      expect((await failureOf(client.send(get('/')))).code).toBe('redirect_refused');
    }
  });

  it('is not followed for POST', async () => {
    server.script(text(307, '', { location: '/b' }));
    const failure = await failureOf(createClient().send(get('/a', { method: 'POST', body: '{}' })));
    expect(failure).toMatchObject({ code: 'redirect_refused', status: 307 });
    expect(server.requests).toEqual(['POST /a']);
  });

  it.each<[string, string, string | null]>([
    ['https://a.example/x', 'http://a.example/x', 'leaves https'],
    ['https://a.example/x', 'https://b.example/x', 'leads to b.example'],
    ['https://a.example/x', 'https://a.example:8443/x', 'leads to a.example:8443'],
    ['https://a.example/x', 'https://me:canary@a.example/x', 'must not leave'],
    ['https://a.example/x', 'https://a.example:443/y', null],
    ['http://localhost/x', 'https://localhost/x', null],
  ])('from %s to %s is judged by host and safety', (from, location, refusal) => {
    const redirect = { from: new URL(from), method: 'GET', status: 301, location, followed: 0 };
    if (refusal === null) expect(redirectTarget(redirect).href).toBe(new URL(location).href);
    else expect(() => redirectTarget(redirect)).toThrow(refusal);
    if (refusal !== null) expect(() => redirectTarget(redirect)).not.toThrow('canary');
  });
});

describe('plain http', () => {
  it('is refused beyond this machine before anything is sent', async () => {
    const failure = await failureOf(
      createClient().send({ method: 'GET', url: 'http://api.example.com/x?token=canary' }),
    );
    expect(failure).toBeInstanceOf(ConfigError);
    expect(everythingIn(failure)).not.toContain('canary');
  });
});

describe('a stop', () => {
  it('before the request sends nothing', async () => {
    const signal = AbortSignal.abort();
    expect(isAbort(await failureOf(createClient().send(get('/', { signal }))))).toBe(true);
    expect(server.requests).toEqual([]);
  });

  it('while waiting for the answer ends the request as an abort, whatever its reason', async () => {
    const controller = new AbortController();
    server.script(() => controller.abort('shutdown'));
    const failure = await failureOf(createClient().send(get('/', { signal: controller.signal })));
    expect(isAbort(failure)).toBe(true);
    expect(failure.cause).toBe('shutdown');
    await connectionClosed();
  });

  it('inside the body ends the request as an abort', async () => {
    const controller = new AbortController();
    server.script((_request, response) => {
      response.writeHead(503, { 'content-length': '100' });
      response.write('half', () => setImmediate(() => controller.abort()));
    });
    expect(isAbort(await failureOf(createClient().send(get('/', { signal: controller.signal }))))).toBe(true);
    await connectionClosed();
  });

  it('leaves no listener on the signal behind', async () => {
    const { signal } = new AbortController();
    const client = createClient();
    for (let i = 0; i < 3; i += 1) await client.send(get('/', { signal }));
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('by closing the client ends requests under way and refuses new ones as aborts', async () => {
    const client = createClient();
    const arrived = new Promise<void>((resolve) => server.script(() => resolve()));
    const pending = failureOf(client.send(get('/')));
    await arrived;
    await client.close();
    expect(isAbort(await pending)).toBe(true);
    expect(isAbort(await failureOf(client.send(get('/'))))).toBe(true);
  });
});

describe('a proxy', () => {
  /** Opens every tunnel to the test server, whatever host is asked for, and notes the hosts. */
  async function startProxy(status = '200 Connection established') {
    const tunnels: string[] = [];
    const proxy = createServer();
    const sockets = new Set<Socket>();
    proxy.on('connection', (socket) => sockets.add(socket));
    proxy.on('connect', (request, socket) => {
      tunnels.push(`${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
      socket.on('error', () => {});
      socket.write(`HTTP/1.1 ${status}\r\n\r\n`);
      if (!status.startsWith('200')) return void socket.end();
      const upstream = connect(server.port, '127.0.0.1');
      upstream.on('error', () => {});
      upstream.pipe(socket).pipe(upstream);
    });
    const port = await listen(proxy);
    closers.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    });
    return { tunnels, address: `127.0.0.1:${port}` };
  }

  const upstream: HttpRequest = { method: 'GET', url: 'http://upstream.test/x' };

  it('is used, with its password', async () => {
    const { tunnels, address } = await startProxy();
    const client = createClient({ allowInsecureHttp: true, proxy: { httpProxy: `http://me:pw@${address}` } });
    expect((await client.send(upstream)).status).toBe(200);
    expect(tunnels).toEqual([`upstream.test:80 Basic ${Buffer.from('me:pw').toString('base64')}`]);
  });

  it('may be given without http://', async () => {
    const { tunnels, address } = await startProxy();
    await createClient({ allowInsecureHttp: true, proxy: { httpProxy: address } }).send(upstream);
    expect(tunnels).toHaveLength(1);
  });

  it('is passed by for this machine and for hosts in noProxy', async () => {
    const { tunnels, address } = await startProxy();
    const proxy = { httpProxy: address, httpsProxy: address, noProxy: '.invalid' };
    const client = createClient({ allowInsecureHttp: true, proxy });
    expect((await client.send(get('/'))).status).toBe(200);
    const failure = await failureOf(client.send({ method: 'GET', url: 'http://upstream.invalid/' }));
    expect(failure.code).toBe('network');
    expect(tunnels).toEqual([]);
  });

  it('that refuses is named as the cause, and is no abort', async () => {
    const { address } = await startProxy('407 Proxy Authentication Required');
    const client = createClient({ allowInsecureHttp: true, proxy: { httpProxy: `http://me:canary@${address}` } });
    const failure = await failureOf(client.send(upstream));
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure.code).toBe('network');
    expect(failure.message).toContain('HTTPS_PROXY');
    expect(everythingIn(failure)).not.toContain('canary');
  });

  it.each(['socks5://me:canary@proxy:1', 'http://me:canary@[', ':::'])(
    'with the address %p is refused at start',
    (httpsProxy) => {
      let refusal: unknown;
      try {
        new HttpClient({ timeoutMs: 1000, proxy: { httpsProxy } });
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toBeInstanceOf(ConfigError);
      expect(everythingIn(refusal)).not.toContain('canary');
    },
  );
});

describe('secrets', () => {
  it('of a request never get into an error', async () => {
    const secret: Partial<HttpRequest> = {
      method: 'POST',
      headers: { authorization: 'JWT canary' },
      body: '{"password":"canary"}',
    };
    const client = createClient({ timeoutMs: 50, maxBytes: 100 });
    const troubles = [
      () => server.script(() => {}),
      () => server.script((request) => request.socket.destroy()),
      () => server.script(text(200, 'canary'.repeat(100))),
      () => server.script(text(302, 'canary', { location: '/x?canary' })),
      () => server.script(text(200, 'canary', { 'content-encoding': 'gzip' })),
      () => server.script(text(200, 'canary', { 'content-encoding': 'canary' })),
    ];
    for (const arrange of troubles) {
      arrange();
      expect(everythingIn(await failureOf(client.send(get('/x?token=canary', secret))))).not.toContain('canary');
    }
    const broken = client.send(get('/x?token=canary', { headers: { authorization: 'JWT canary\nx: y' } }));
    const failure = await failureOf(broken);
    expect(failure.message).toContain('line breaks');
    expect(everythingIn(failure)).not.toContain('canary');
  });
});
