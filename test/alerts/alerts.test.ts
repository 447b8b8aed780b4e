import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { type AlertParts, type Alerts, createChannels, lookOnce, startAlerts } from '../../src/alerts/alerts.ts';
import { DeliveryError } from '../../src/alerts/channel.ts';
import { deliverDue } from '../../src/alerts/deliver.ts';
import { createTestDigest } from '../../src/alerts/digest.ts';
import { createEmail } from '../../src/alerts/email.ts';
import { createWebhook } from '../../src/alerts/webhook.ts';
import { systemClock } from '../../src/clock.ts';
import { createDatabase } from '../../src/store/database.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type Store, setupStore } from '../store/support.ts';
import { type Receiver, startMailServer, startReceiver } from './receivers.ts';

/** Alerts from facts in a real database to a real receiver. */
let store: Store;
let receiver: Receiver;
const logged: string[] = [];

beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query(`truncate sync.streams, sync.checkpoints, sync.runs, sync.quarantine, sync.verifications, sync.budgets, sync.alerts,
    sync.alert_messages, sync.alert_rounds restart identity`);
  receiver = await startReceiver();
  logged.length = 0;
});
afterEach(() => receiver.close());

/** One process, as it starts: nothing is remembered but in the database. */
function createProcess(options: Partial<AlertParts> & { url?: string; afterMs?: number } = {}): AlertParts {
  const { url = receiver.url, afterMs = 0, ...rest } = options;
  const settings = { webhook: { url, format: 'json' as const }, email: null, afterMs };
  return {
    prisma: store.prisma,
    logger: pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) }),
    clock: systemClock,
    settings,
    channels: createChannels(settings, { allowInsecureHttp: false, proxy: null }),
    roundMs: 0,
    ...rest,
  };
}

/** A look and what it leads to, by a process that was just started. */
async function goRound(options: Parameters<typeof createProcess>[0] = {}) {
  const parts = createProcess(options);
  const result = await lookOnce(parts);
  const signal = new AbortController().signal;
  for (const channel of parts.channels) {
    await deliverDue({ ...parts, signal, firstRetryMs: 0 }, channel);
    await channel.close();
  }
  return result;
}

/** A stream in good order, read a minute ago. */
async function addStream(stream = 'tiledesk.leads', connection = 'tiledesk:shop') {
  await store.query(
    `insert into sync.streams (connection_id, stream, created_at) values ($1, $2, now() - interval '9 days')`,
    [connection, stream],
  );
  await store.query(
    `insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at)
     values ($1, $2, 'backfill', now() - interval '9 days', now() - interval '9 days'),
       ($1, $2, 'incremental', now() - interval '2 minutes', now() - interval '1 minute')`,
    [connection, stream],
  );
}

const setAge = (minutes: number, connection = 'tiledesk:shop') =>
  store.query(
    `update sync.checkpoints set completed_at = now() - make_interval(mins => $1), started_at = now() - make_interval(mins => $1 + 1)
     where pass = 'incremental' and connection_id = $2`,
    [minutes, connection],
  );

const addRun = (pass: string, outcome: string, code: string | null) =>
  store.query(
    `insert into sync.runs (connection_id, stream, pass, outcome, error_code, error_message, ended_at)
     values ('tiledesk:shop', 'tiledesk.leads', $1, $2, $3, 'reason of ' || $3, now())`,
    [pass, outcome, code],
  );

const kindsOf = ({ opened, closed }: Record<string, unknown>) => ({
  opened: (opened as { kind: string }[]).map(({ kind }) => kind),
  closed: (closed as { kind: string }[]).map(({ kind }) => kind),
});

describe('what is wrong', () => {
  beforeEach(() => addStream());

  it('is told once and cleared once, whatever process looks', async () => {
    await goRound();
    expect(receiver.accepted).toEqual([]);
    await setAge(60);
    for (let i = 0; i < 3; i++) await goRound();
    await setAge(1);
    for (let i = 0; i < 3; i++) await goRound();
    expect(receiver.accepted.map(kindsOf)).toEqual([
      { opened: ['stale'], closed: [] },
      { opened: [], closed: ['stale'] },
    ]);
    const [opened] = receiver.accepted;
    expect(opened).toMatchObject({
      type: 'leadmirror.alerts',
      summary: '1 stream is stale',
      opened: [
        { targets: [{ connection: 'tiledesk:shop', stream: 'tiledesk.leads' }], reason: 'no complete pass in time' },
      ],
    });
    expect(receiver.headers[0]).toMatchObject({ 'idempotency-key': opened?.id, 'content-type': 'application/json' });
    const rows = await store.query(
      'select kind, closed_at is not null as over, notified_at is not null as told from sync.alerts',
    );
    expect(rows).toEqual([{ kind: 'stale', over: true, told: true }]);
  });

  it('of a stream that is stale names what is away', async () => {
    await setAge(60);
    await goRound({ cause: () => 'the queue cannot be reached since 12:00' });
    expect(receiver.accepted).toMatchObject([
      { opened: [{ reason: 'no complete pass in time; the queue cannot be reached since 12:00' }] },
    ]);
  });

  it.each<[kind: string, begin: () => Promise<unknown>, end: () => Promise<unknown>]>([
    ['blocked', () => addRun('incremental', 'failed', 'auth_refused'), () => addRun('incremental', 'succeeded', null)],
    [
      'deletion_brake',
      () => addRun('reconcile', 'partial', 'deletion_brake'),
      () => addRun('reconcile', 'succeeded', null),
    ],
    [
      'suddenly_empty',
      () => addRun('reconcile', 'failed', 'suddenly_empty'),
      () => addRun('reconcile', 'succeeded', null),
    ],
    [
      'quarantine_growing',
      () =>
        store.query(`insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id)
          values ('tiledesk:shop', 'tiledesk.leads', 'r1', 'bad_id', '{"fullname":"Ann Onymous"}', 1)`),
      () => store.query(`update sync.quarantine set first_seen_at = now() - interval '2 hours'`),
    ],
    [
      'verify_differences',
      () =>
        store.query(`insert into sync.verifications (connection_id, stream, verified_at, upstream_rows, compared_rows, missing, stale, extra, different, repaired, started_at)
          values ('tiledesk:shop', 'tiledesk.leads', now(), 9, 9, 2, 0, 0, 0, 0, now())`),
      () => store.query('update sync.verifications set repaired = 2'),
    ],
  ])('%s: begun and over', async (kind, begin, end) => {
    await begin();
    await goRound();
    await end();
    await goRound();
    expect(receiver.accepted.map(kindsOf)).toEqual([
      { opened: [kind], closed: [] },
      { opened: [], closed: [kind] },
    ]);
    expect(JSON.stringify(receiver.accepted)).not.toContain('Onymous');
  });

  describe('an account that does not answer', () => {
    const CREDENTIAL = 'tiledesk:api.example.com:00';
    const SHOPS = ['tiledesk:shop', 'tiledesk:two'];
    const pauseAll = (paused: string) => store.query(`update sync.streams set paused_at = ${paused}`);
    /** As it is so many minutes later, at 120 long after anybody last looked after it. */
    const fail = (minutes: number) =>
      store.query(
        `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, failures, failure_reason, failing_since, opened_at, wake_at)
         select $1, 300, 300, 10, 'network', at - interval '1 minute', at, case when $2 = 120 then now() - interval '1 hour' else now() + interval '1 minute' end
         from (select now() - make_interval(mins => $2) as at) t
         on conflict (credential) do update set failing_since = excluded.failing_since, opened_at = excluded.opened_at, wake_at = excluded.wake_at`,
        [CREDENTIAL, minutes],
      );
    const answer = () =>
      store.query(
        'update sync.budgets set failures = 0, failing_since = null, failure_reason = null, opened_at = null, wake_at = null',
      );

    beforeEach(async () => {
      await addStream('tiledesk.requests');
      await addStream('tiledesk.leads', 'tiledesk:two');
      await store.query('update sync.streams set credential = $1', [CREDENTIAL]);
    });

    it('is one alert and one recovery, however long it lasts and however many streams it holds', async () => {
      for (const minutes of [1, 20, 120]) {
        await fail(minutes);
        for (const shop of SHOPS) await setAge(minutes, shop);
        await goRound();
      }
      await answer();
      for (const shop of SHOPS) await setAge(1, shop);
      await goRound();
      expect(receiver.accepted.map(kindsOf)).toEqual([
        { opened: ['circuit_open'], closed: [] },
        { opened: [], closed: ['circuit_open'] },
      ]);
    });

    it('ends nothing that was told before: what is stale stays so, and credentials stay refused', async () => {
      await setAge(60, 'tiledesk:two');
      await addRun('incremental', 'failed', 'auth_refused');
      await goRound();
      for (const minutes of [1, 120]) {
        await fail(minutes);
        await goRound();
      }
      expect(receiver.accepted.map(kindsOf)).toEqual([
        { opened: ['blocked', 'stale'], closed: [] },
        { opened: ['circuit_open'], closed: [] },
      ]);
    });

    it('is over when nobody asks it any more', async () => {
      await fail(1);
      await goRound();
      await pauseAll('now()');
      await goRound();
      await pauseAll('null');
      await goRound();
      await store.query('update sync.streams set enabled = false');
      await goRound();
      expect(receiver.accepted.map(kindsOf).map(({ opened, closed }) => [...opened, '-', ...closed])).toEqual([
        ['circuit_open', '-'],
        ['-', 'circuit_open'],
        ['circuit_open', '-'],
        ['-', 'circuit_open'],
      ]);
    });
  });

  it('a stream that is read by hand only is never late', async () => {
    await addStream('tiledesk.requests');
    await store.query('update sync.streams set fresh_within_seconds = 0');
    await store.query(`delete from sync.checkpoints where stream = 'tiledesk.requests'`);
    await setAge(600);
    await goRound();
    expect(receiver.accepted).toEqual([]);
  });

  it('a stream that is stale and has a record in quarantine is stale all the same', async () => {
    await store.query(`insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id, first_seen_at)
      values ('tiledesk:shop', 'tiledesk.leads', 'r1', 'bad_id', '{}', 1, now() - interval '3 days')`);
    await setAge(60);
    await goRound();
    expect(receiver.accepted.map(kindsOf)).toEqual([{ opened: ['stale'], closed: [] }]);
  });

  it('is over when a person pauses the stream, and when it is no longer configured', async () => {
    await setAge(60);
    await goRound();
    await store.query('update sync.streams set paused_at = now()');
    await goRound();
    await store.query('update sync.streams set paused_at = null');
    await goRound();
    await store.query('update sync.streams set enabled = false');
    await goRound();
    expect(receiver.accepted.map(kindsOf).map(({ opened, closed }) => [...opened, '-', ...closed])).toEqual([
      ['stale', '-'],
      ['-', 'stale'],
      ['stale', '-'],
      ['-', 'stale'],
    ]);
  });
});

describe('delivery', () => {
  beforeEach(async () => {
    await addStream();
    await setAge(60);
  });

  it('comes later, once and in order, when the receiver was down meanwhile', async () => {
    receiver.status = 503;
    await goRound();
    await setAge(1);
    await goRound();
    expect(receiver.accepted).toEqual([]);
    const [failed] = await store.query<{ last_error: string }>(
      'select last_error from sync.alert_messages order by number',
    );
    expect(failed?.last_error).toMatch(/^the webhook at 127\.0\.0\.1:\d+ answered with status 503/);
    receiver.status = 200;
    await goRound();
    await goRound();
    expect(receiver.accepted.map(kindsOf)).toEqual([
      { opened: ['stale'], closed: [] },
      { opened: [], closed: ['stale'] },
    ]);
  });

  it('is tried again with the same id by another process when one died in the middle of it', async () => {
    const parts = createProcess();
    await lookOnce(parts);
    // Taken, sent, and never noted: the process is gone.
    await store.query(`update sync.alert_messages set attempts = 1, next_attempt_at = now() + interval '1 minute'`);
    await goRound();
    expect(receiver.accepted).toEqual([]);
    await store.query('update sync.alert_messages set next_attempt_at = now()');
    await goRound();
    const [message] = await store.query<{ id: string }>('select id from sync.alert_messages');
    expect(receiver.accepted.map(({ id }) => id)).toEqual([message?.id]);
  });

  it('never says the path of the webhook, in no log, error or table', async () => {
    const port = await findClosedPort();
    await goRound({ url: `http://127.0.0.1:${port}/hooks/T0SECRET` });
    receiver.status = 404;
    await store.query('update sync.alert_messages set next_attempt_at = now()');
    await goRound();
    const messages = await store.query('select * from sync.alert_messages');
    expect(logged.filter((line) => line.includes('not delivered'))).toHaveLength(1);
    expect(`${logged.join()}${JSON.stringify(messages)}`).not.toContain('T0SECRET');
    expect(JSON.stringify(messages)).toContain('answered with status 404; check ALERT_WEBHOOK_URL');
  });

  it('is given up after three days', async () => {
    receiver.status = 500;
    await lookOnce(createProcess());
    await store.query(`update sync.alert_messages set created_at = now() - interval '4 days'`);
    await goRound();
    expect(await store.query('select given_up_at is not null as given_up from sync.alert_messages')).toEqual([
      { given_up: true },
    ]);
  });
});

describe('several processes', () => {
  it('tell each thing once between them, and 40 connections in one message', async () => {
    await store.query(
      `insert into sync.streams (connection_id, stream) select 'tiledesk:' || n, 'tiledesk.leads' from generate_series(1, 40) n`,
    );
    await store.query(`insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at)
      select 'tiledesk:' || n, 'tiledesk.leads', p, now() - interval '1 day', now() - interval '1 day' from generate_series(1, 40) n, (values ('backfill'), ('incremental')) v(p)`);
    await store.query(`update sync.checkpoints set completed_at = now() - interval '1 hour', started_at = now() - interval '1 hour'
      where pass = 'incremental'`);
    const databases = [1, 2].map(() => createDatabase({ url: store.url, logger: unheardLogger(), maxConnections: 3 }));
    const running = databases.flatMap(
      ({ prisma }) => startAlerts(createProcess({ prisma, roundMs: 50, deliverMs: 20 })) ?? [],
    ) as Alerts[];
    const settled = async (count: number) => {
      while (receiver.accepted.length < count) await delay(10);
      const [before] = await store.query<{ at: Date }>('select evaluated_at as at from sync.alert_rounds');
      // Some rounds more, in which nothing may be told.
      for (let rounds = 0, last = before?.at.getTime(); rounds < 3; await delay(10)) {
        const [row] = await store.query<{ at: Date }>('select evaluated_at as at from sync.alert_rounds');
        if (row?.at.getTime() === last) continue;
        last = row?.at.getTime();
        rounds += 1;
      }
    };
    await settled(1);
    await store.query(
      `update sync.checkpoints set completed_at = now(), started_at = now() where pass = 'incremental'`,
    );
    await settled(2);
    await Promise.all(running.map((alerts) => alerts.stop()));
    await Promise.all(databases.map(({ close }) => close()));
    expect(receiver.accepted.map(({ summary }) => summary)).toEqual(['40 streams are stale', '40 alerts are over']);
    expect(receiver.accepted[0]).toMatchObject({ opened: [{ connections: 40, streams: 40 }] });
  });

  it('are none when nobody is to be told', () => {
    expect(startAlerts(createProcess({ channels: [] }))).toBeNull();
  });
});

describe('e-mail', () => {
  const send = (url: string, to = 'ops@example.com') =>
    createEmail({ to: [to, 'two@example.com'], from: 'Mirror <mirror@example.com>', smtpUrl: url, allowPlain: false });
  const digest = createTestDigest(new Date(Date.UTC(2026, 0, 1)));
  const id = '6d0b2f6e-0f0f-4f5f-8a1a-000000000001';

  it('arrives, with its id and a subject', async () => {
    const server = await startMailServer('p@ss/word');
    await send(`smtp://mirror%40example.com:p%40ss%2Fword@127.0.0.1:${server.port}`).send(id, digest);
    await server.close();
    expect(server.mails).toHaveLength(1);
    expect(server.mails[0]).toMatchObject({ from: 'mirror@example.com', to: ['ops@example.com', 'two@example.com'] });
    expect(server.mails[0]?.text).toMatch(/^Subject: \[leadmirror\] a test message/m);
    expect(server.mails[0]?.text).toMatch(new RegExp(`^Message-ID: <${id}@example.com>`, 'm'));
  });

  it.each<[what: string, password: string, refuses: string, said: RegExp]>([
    [
      'a wrong password',
      'other',
      '',
      /refused the sign-in; check user and password in SMTP_URL .*\(it answered 535\)$/,
    ],
    ['a recipient that is refused', 'right', 'ops@example.com', /./],
  ])('says what is wrong: %s', async (what, password, refuses, said) => {
    const server = await startMailServer('right', { refuses });
    const sent = createEmail({
      to: ['ops@example.com'],
      from: 'mirror@example.com',
      smtpUrl: `smtp://user:${password}@127.0.0.1:${server.port}`,
      allowPlain: false,
    }).send(id, digest);
    const error = await sent.catch((cause: unknown) => cause);
    await server.close();
    expect(error).toBeInstanceOf(DeliveryError);
    const { message } = error as Error;
    expect(message).toMatch(
      what === 'a wrong password' ? said : /refused the sender or a recipient.*\(it answered 550\)$/,
    );
    expect(message).not.toMatch(/ops@|right|other/);
  });

  it('says what is wrong: nobody listens', async () => {
    const port = await findClosedPort();
    await expect(send(`smtp://127.0.0.1:${port}`).send(id, digest)).rejects.toThrow(
      new RegExp(`^the mail server 127\\.0\\.0\\.1:${port} cannot be reached; check host`),
    );
  });
});

describe('Slack', () => {
  it('gets plain text with its marks escaped', async () => {
    const channel = createWebhook({ url: receiver.url, format: 'slack' }, { allowInsecureHttp: false, proxy: null });
    const entry = {
      kind: 'blocked' as const,
      title: '1 stream is blocked',
      reason: 'a <b> & c',
      since: null,
      until: null,
    };
    const counts = {
      connections: 1,
      streams: 1,
      targets: [{ connection: 'c', stream: 's' }],
      next: 'leadmirror check',
    };
    const digest = createTestDigest(new Date(0));
    await channel.send('1', { ...digest, summary: '1 stream is blocked', opened: [{ ...entry, ...counts }] });
    await channel.close();
    expect(receiver.accepted).toEqual([
      {
        text: 'leadmirror: 1 stream is blocked\n\n1 stream is blocked\n  Which: c s\n  Why: a &lt;b&gt; &amp; c\n  Next: leadmirror check',
      },
    ]);
  });
});
