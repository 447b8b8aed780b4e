/**
 * Without the recorder around it: what is said here is meant to be found.
 * @jest-environment node
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fastify from 'fastify';
import { createTiledeskSandbox } from '../sandbox/tiledesk.ts';
import { createTilkeeSandbox } from '../sandbox/tilkee.ts';
import { declareErased, declareSecrets, record, type Said } from './helpers/printed/record.ts';
import { Recorder } from './helpers/printed/recorder.ts';
import { createFinder, type Permission } from './helpers/printed/rules.ts';
import { describeScan, scanSaid } from './helpers/printed/scan.ts';
import { TextPieces } from './helpers/printed/text-pieces.ts';
import { unheardLogger } from './helpers/unheard-logger.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'leadmirror-said-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const write = (said: Partial<Said>, file = 'one.jsonl') =>
  appendFile(
    join(directory, file),
    `${JSON.stringify({ kind: 'log', what: 'log', test: 'test/a.test.ts: does it', text: '', ...said })}\n`,
  );

describe('the search', () => {
  it.each([
    ['secret', 'the declared password is Tr0ub4dor-and-three', 'Tr0ub4dor-and-three'],
    ['secret', 'authorization: JWT eyJhbGciOiJIUzI1NiIsInR5cCI6', 'eyJhbGciOiJIUzI1Ni'],
    ['secret', 'refused with some-CANARY-or-other', 'CANARY'],
    ['e-mail', '{"email":"visitor.0a1b2c@example.com"}', 'visitor.0a1b2c@example.com'],
    ['e-mail', '/leads?q=visitor.0a1b2c%40example.com&page=1', 'visitor.0a1b2c%40example.com'],
    ['e-mail', 'zoë.ägent+tag@mail.example.net.', 'zoë.ägent+tag@mail.example.net'],
    ['phone number', 'called +390001234567 back', '+390001234567'],
    ['person', 'lead "Ada O&#39;Madeup" is new', 'Madeup'],
    ['person', 'said: Does the blue one come in size 42?', 'Does the blue one come in size 42?'],
  ])('finds a %s in: %s', async (find, text, match) => {
    for (const kind of ['command', 'output', 'log', 'answer', 'message'] as const) await write({ kind, text });
    await appendFile(
      join(directory, 'two.jsonl'),
      `${JSON.stringify({ kind: 'secret', name: 'TILEDESK_PASSWORD', value: 'Tr0ub4dor-and-three' })}\n`,
    );
    const result = await scanSaid(directory);
    expect(result.findings.map((each) => [each.find, each.kind])).toEqual(
      ['command', 'output', 'log', 'answer', 'message'].map((kind) => [find, kind]),
    );
    const said = describeScan(result);
    expect(said).toMatch(/^Searched 1 answers, 1 log lines, 1 outputs of 1 commands and 1 messages .*: 5 findings\.$/m);
    expect(said).toContain('test/a.test.ts: does it');
    expect(said).not.toContain(match);
  });

  it('finds nothing in what may be said', async () => {
    await write({
      text: 'npm warn bullmq@6.7.0 at node_modules/@prisma/client, 3 @ 4, user@host, +39 000, 1763900012345678',
    });
    await write(
      { text: 'tiledesk.leads: 12 rows created, https://api.example.com:443/v3', kind: 'answer' },
      'two.jsonl',
    );
    const result = await scanSaid(directory);
    expect(result.findings).toEqual([]);
    expect(describeScan(result)).toMatch(/^Searched 1 answers, 1 log lines, .*: no secret, no personal data\.$/);
  });

  it('finds every credential and every person of the simulated upstreams', () => {
    const tiledesk = createTiledeskSandbox({ leads: 300, requests: 10 });
    const tilkee = createTilkeeSandbox({});
    const find = createFinder([]);
    const finds = (text: string) => find(text).length > 0;
    const secrets = [tiledesk.password, tilkee.password, tilkee.clientSecret, tilkee.accessKey];
    const people = [...tiledesk.data.leads.values()].flatMap(({ fullname, email, phone }) => [
      ...(typeof fullname === 'string' && !fullname.startsWith('guest#') ? [fullname] : []),
      ...[email, phone].filter((text) => typeof text === 'string' && text !== ''),
    ]) as string[];
    expect(people.length).toBeGreaterThan(300);
    expect([...secrets, ...people].filter((text) => !finds(`"${text}"`))).toEqual([]);
  });

  it('finds an erased person in what is printed later, even where living people may be', async () => {
    const permissions: Permission[] = [{ kind: 'output', what: /./, finds: ['e-mail', 'person'], why: 'shows all' }];
    const texts = ['made by b@example.com', 'written by A@Example.com', 'written by Ann Sample'];
    const print = async (file: string) => {
      for (const text of texts) await write({ kind: 'output', what: 'leadmirror show', text }, file);
    };
    for (const file of ['one.jsonl', 'two.jsonl']) await print(file);
    expect((await scanSaid(directory, permissions)).findings).toEqual([]);
    for (const value of ['a@example.com', 'ann sample']) {
      await appendFile(join(directory, 'two.jsonl'), `${JSON.stringify({ kind: 'erased', name: 'erased', value })}\n`);
    }
    expect((await scanSaid(directory, permissions)).findings).toEqual([]);
    await print('two.jsonl');
    const result = await scanSaid(directory, permissions);
    expect(result.findings.map(({ find }) => find)).toEqual(['erased person', 'erased person']);
    expect(describeScan(result)).not.toMatch(/A@Example|Ann Sample/);
  });

  it('a permission holds for its own texts alone', async () => {
    const permissions: Permission[] = [
      {
        kind: 'output',
        what: /^leadmirror show /,
        finds: ['e-mail'],
        match: /^a@/,
        file: 'test/a.test.ts',
        why: 'shows it',
      },
    ];
    const shown: Partial<Said> = { kind: 'output', what: 'leadmirror show 1', text: 'a@example.com' };
    await write(shown);
    expect((await scanSaid(directory, permissions)).findings).toEqual([]);
    const others: Partial<Said & { test: string }>[] = [
      { kind: 'log' },
      { what: 'leadmirror sync' },
      { text: 'b@example.com' },
      { text: 'some canary' },
      { test: 'test/b.test.ts: does it' },
    ];
    for (const other of others) await write({ ...shown, ...other });
    expect((await scanSaid(directory, permissions)).findings).toHaveLength(others.length);
  });
});

describe('the recorder', () => {
  let recorder: Recorder;
  beforeEach(() => {
    recorder = new Recorder({ directory, name: 'own', test: 'test/b.test.ts' });
  });
  afterEach(() => recorder.close());

  const found = async () => {
    await recorder.close();
    const { findings } = await scanSaid(directory, []);
    return findings.map(({ find, kind, what }) => [find, kind, what]);
  };

  it('hears both outputs of a child, cut where they may, whoever reads them and however late', async () => {
    const script = `process.stdout.write('visitor.0a1');
      setTimeout(() => process.stdout.write('b2c' + '@example.com'), 100);
      setTimeout(() => console.error(['a', 'can', 'ary'].join('')), 400)`;
    const child = spawn(process.execPath, ['-e', script]);
    await delay(300);
    let text = '';
    for await (const chunk of child.stdout) text += chunk;
    expect(text).toBe('visitor.0a1b2c@example.com');
    child.stderr.resume();
    await once(child, 'close');
    expect((await found()).map(([find, kind]) => [find, kind]).sort()).toEqual([
      ['e-mail', 'output'],
      ['secret', 'output'],
    ]);
  });

  it('hears the words that a child was started with', async () => {
    await once(spawn(process.execPath, ['-e', 'console.log(1)', 'some-canary']), 'close');
    expect((await found()).map(([find, kind]) => [find, kind])).toEqual([['secret', 'command']]);
  });

  it('hears a logger that nobody reads, at every level', async () => {
    unheardLogger().trace({ email: 'visitor.0a1b2c@example.com' }, 'a lead');
    expect(await found()).toEqual([['e-mail', 'log', 'log']]);
  });

  it('hears every answer of a server, with its headers, as a whole or by and by', async () => {
    const server = fastify();
    server.get('/page', async () => 'visitor.0a1b2c@example.com');
    server.get('/header', async (_, reply) => reply.header('location', '/?token=canary').code(302).send());
    server.get('/events', (_, reply) => {
      reply.hijack();
      reply.raw.write('data: visitor.0a1b2c');
      reply.raw.end('@example.com\n\n');
    });
    const url = await server.listen({ host: '127.0.0.1', port: 0 });
    await server.inject('/page');
    for (const path of ['/header', '/events']) await (await fetch(url + path, { redirect: 'manual' })).text();
    await server.close();
    expect(await found()).toEqual([
      ['e-mail', 'answer', 'GET /page'],
      ['secret', 'answer', 'GET /header'],
      ['e-mail', 'answer', 'GET /events'],
    ]);
  });

  it('hears what a child answers, but not the simulated upstreams of this process', async () => {
    const script = `require('http').createServer((q, r) => r.end('visitor.0a1b2c' + '@example.com')).listen(0, function () { console.log(this.address().port) })`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [port] = await once(child.stdout, 'data');
    const upstream = createServer((_, response) => response.end('the canary of an upstream')).listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const ask = recorder.wrapFetch(fetch);
    for (const at of [String(port).trim(), (upstream.address() as AddressInfo).port])
      expect(await (await ask(`http://127.0.0.1:${at}/page`)).text()).toMatch(/visitor|upstream/);
    upstream.close();
    child.kill();
    await once(child, 'close');
    expect(await found()).toEqual([['e-mail', 'answer', 'GET /page']]);
  });

  it('is told messages, and the secrets of an environment', async () => {
    declareSecrets({
      TILEDESK_TOKEN: 'JWT aaaa1111.bbbb',
      DATABASE_URL: 'postgres://me:pass-of-1-database@db.example/x',
      TILKEE_PASSWORD: 'something',
      LOG_LEVEL: 'debug-level-1',
    });
    for (const text of ['aaaa1111.bbbb', 'pass-of-1-database', 'something else, debug-level-1'])
      record({ kind: 'message', what: 'mail', text });
    expect(await found()).toEqual([
      ['secret', 'message', 'mail'],
      ['secret', 'message', 'mail'],
    ]);
  });

  it('is told who is erased', async () => {
    declareErased(['ann sample']);
    record({ kind: 'message', what: 'mail', text: 'for Ann Sample' });
    expect(await found()).toEqual([['erased person', 'message', 'mail']]);
  });

  it('hears no more once it is closed', async () => {
    await recorder.close();
    unheardLogger().info('a canary');
    record({ kind: 'message', what: 'mail', text: 'a canary' });
    expect((await scanSaid(directory, [])).counts).toEqual({ command: 0, output: 0, log: 0, answer: 0, message: 0 });
  });
});

it('texts without end are handed on in pieces that overlap', () => {
  const given: string[] = [];
  const pieces = new TextPieces((text) => given.push(text));
  for (let i = 0; i < 3_000; i++) pieces.add(Buffer.from(`${String(i).padStart(6, '0')}${'é'.repeat(497)}`));
  pieces.end();
  expect(given).toHaveLength(2);
  expect(given[1]?.slice(0, 1_000)).toBe(given[0]?.slice(-1_000));
});
