import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { explainMissingPackages, startTracing } from '../../src/ops/tracing.ts';
import { summarize } from '../../src/store/driver-adapter.ts';
import { type Daemon, startDaemon } from '../../workers/main.ts';
import { enqueueRun } from '../../workers/queues.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { record } from '../helpers/printed/record.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

interface Span {
  readonly name: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
}

/** A collector: what it got, by OTLP over HTTP in JSON. */
async function startCollector() {
  const spans: Span[] = [];
  const services = new Set<string>();
  const headers: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    request.on('end', () => {
      record({ kind: 'message', what: 'trace', text });
      const body = JSON.parse(text) as {
        resourceSpans: { resource: { attributes: Span['attributes'] }; scopeSpans: { spans: Span[] }[] }[];
      };
      headers.push(request.url, request.headers['x-key']?.toString());
      for (const { resource, scopeSpans } of body.resourceSpans) {
        const service = resource.attributes.find(({ key }) => key === 'service.name');
        services.add(String(service?.value.stringValue));
        for (const scope of scopeSpans) spans.push(...scope.spans);
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, spans, services, headers, close: () => server.close() };
}

const attributesOf = (span: Span | undefined) =>
  Object.fromEntries((span?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]));

describe('the trace of a run', () => {
  let collector: Awaited<ReturnType<typeof startCollector>>;
  let mirror: MirrorSetup;
  let daemon: Daemon;

  beforeAll(async () => {
    collector = await startCollector();
    mirror = await setupMirror(
      { leads: 250, requests: 10 },
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20secret',
        OTEL_SERVICE_NAME: 'mirror-of-shop',
        TILEDESK_STREAMS: 'leads',
        SYNC_INCREMENTAL_CRON: '0 0 1 1 *',
        SYNC_RECONCILE_CRON: '0 0 1 1 *',
      },
    );
    let onEnd = (_: unknown) => {};
    const ended = new Promise((resolve) => {
      onEnd = resolve;
    });
    const observer = { onJob: ({ result }: { result: unknown }) => result !== null && onEnd(result) };
    daemon = await startDaemon(mirror.app, {
      roles: ['worker'],
      logger: unheardLogger(),
      signal: new AbortController().signal,
      observer,
    });
    const connection = mirror.app.connections[0]?.id ?? '';
    const job = { connection, stream: 'tiledesk.leads', pass: 'backfill' as const, trigger: 'manual' as const };
    await enqueueRun(daemon.queues, job);
    await ended;
    await daemon.stop();
    // What is left is sent when the app closes.
    await mirror.close();
    collector.close();
  });

  const named = (start: string) => collector.spans.filter(({ name }) => name.startsWith(start));
  const parentOf = ({ parentSpanId }: Span) => collector.spans.find(({ spanId }) => spanId === parentSpanId);
  const ancestors = (span: Span): string[] => {
    const parent = parentOf(span);
    return parent === undefined ? [] : [parent.name, ...ancestors(parent)];
  };
  const backfill = () => named('run').find((span) => attributesOf(span)['leadmirror.pass'] === 'backfill');

  it('arrives under its name, with its headers', () => {
    expect([...collector.services]).toEqual(['mirror-of-shop']);
    expect(collector.headers.slice(0, 2)).toEqual(['/v1/traces', 'a secret']);
  });

  it('is a tree: job → run → page → request, and statement', () => {
    const run = backfill();
    expect(run && parentOf(run)?.name).toMatch(/^(process|.*leadmirror-bulk)/);
    const pages = named('page').filter(({ parentSpanId }) => parentSpanId === run?.spanId);
    expect(pages.length).toBeGreaterThanOrEqual(3);
    for (const page of pages) {
      const children = collector.spans
        .filter(({ parentSpanId }) => parentSpanId === page.spanId)
        .map(({ name }) => name);
      expect(children).toContain('http GET');
    }
    const writes = named('sql insert tiledesk.leads');
    expect(writes.length).toBeGreaterThanOrEqual(3);
    for (const write of writes) expect(ancestors(write).slice(0, 2)).toEqual(['page', 'run tiledesk.leads']);
    // The sign-in belongs to the run, and to none of its pages.
    expect(named('http POST').map((span) => parentOf(span)?.name)).toContain('run tiledesk.leads');
  });

  it('says what it was about', () => {
    const { connections } = mirror.app;
    expect(attributesOf(backfill())).toMatchObject({
      'leadmirror.connection': connections[0]?.id,
      'leadmirror.stream': 'tiledesk.leads',
      'leadmirror.pass': 'backfill',
      'leadmirror.outcome': 'succeeded',
      'leadmirror.run': expect.stringMatching(/^\d+$/),
    });
    expect(attributesOf(named('page')[0])['leadmirror.page.rows']).toBeGreaterThan(0);
    expect(attributesOf(named('http GET')[0])).toMatchObject({
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'server.address': '127.0.0.1',
    });
    expect(attributesOf(named('sql insert tiledesk.leads')[0])).toMatchObject({
      'db.system.name': 'postgresql',
      'db.query.summary': 'insert tiledesk.leads',
    });
  });

  it('holds no query of an address, no parameter, no personal data and no secret', () => {
    const text = JSON.stringify(collector.spans);
    expect(text).not.toMatch(/[?&](limit|page|sort|populate)=|a secret|@example|fullname/);
    expect(text).not.toContain(mirror.sandbox.password);
    expect(text).not.toContain(mirror.sandbox.email);
    const lead = [...mirror.sandbox.data.leads.values()].find(({ fullname }) => typeof fullname === 'string');
    expect(text).not.toContain(String(lead?.fullname));
  });
});

describe('a collector that is away', () => {
  it('does not keep the process from its end', async () => {
    const settings = {
      endpoint: `http://127.0.0.1:${await findClosedPort()}`,
      headers: {},
      serviceName: 'x',
      sampler: 'always_on' as const,
      samplerRatio: 1,
    };
    const tracing = await startTracing(settings, unheardLogger());
    tracing?.tracer.open('something').end();
    await tracing?.close();
  });
});

describe('without a collector', () => {
  it('nothing of the SDK is loaded', async () => {
    expect(await startTracing(null, unheardLogger())).toBeNull();
    const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
    const script = `
      const { createRequire } = await import('node:module');
      await import('./src/app.ts'); await import('./src/cli/start.ts');
      const { startTracing } = await import('./src/ops/tracing.ts');
      await startTracing(null, null);
      const loaded = Object.keys(createRequire(import.meta.url).cache);
      console.log(JSON.stringify(loaded.filter((path) => /@opentelemetry.(sdk|exporter|resources|otlp)|bullmq-otel|nodemailer/.test(path))));
      process.exit(0);`;
    const args = ['--no-warnings', '--import', './test/helpers/typescript.js', '--input-type=module', '-e', script];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env });
    expect(JSON.parse(stdout)).toEqual([]);
  });
});

it('without its packages, which are optional, it is said which setting asks for them; other failures stay what they are', () => {
  const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  expect(explainMissingPackages(missing)).toMatchObject({
    code: 'config_invalid',
    problems: [
      { variable: 'OTEL_EXPORTER_OTLP_ENDPOINT', message: expect.stringContaining('without --omit=optional') },
    ],
  });
  const other = new Error('something else');
  expect(explainMissingPackages(other)).toBe(other);
});

it.each([
  ['select * from sync.status order by 1', 'select', 'sync.status'],
  ['with locked as (select 1 from sync.checkpoints) update sync.checkpoints c set a = 1', 'update', 'sync.checkpoints'],
  ['\n insert into "tiledesk"."leads" (id) select 1 on conflict do update set id = 2', 'insert', 'tiledesk.leads'],
  ['delete from sync.runs r where 1 = 1', 'delete', 'sync.runs'],
  [
    'with locked as (update sync.checkpoints set a = 1), new as (insert into "tiledesk"."leads" (id) select 1) select 1',
    'insert',
    'tiledesk.leads',
  ],
  ['BEGIN', 'begin', null],
])('%j is summarized without its values', (sql, operation, target) => {
  expect(summarize(sql)).toEqual({ operation, target });
});
