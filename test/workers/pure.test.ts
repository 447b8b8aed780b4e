import { describe, expect, it, jest } from '@jest/globals';
import type { StreamSchedule } from '../../src/config.ts';
import { freshWithinSeconds, nextTick, pausesOf } from '../../src/sync/schedule.ts';
import { Cooldown, jobOutcomeOf } from '../../workers/job-outcome.ts';
import { describeError, QueueWatch } from '../../workers/queue-watch.ts';
import { deduplicationId, parseRunJob, parseScheduleId, scheduleId } from '../../workers/run-job.ts';
import { jitterLimitSeconds, wantedSchedules } from '../../workers/schedules.ts';
import { isDue, type UnfinishedPass } from '../../workers/unfinished.ts';
import fc from '../helpers/property.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

const passes = fc.constantFrom('backfill', 'incremental', 'reconcile');
const connections = fc.oneof(
  fc.constant('tiledesk:5f1e'),
  fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => text.isWellFormed()),
);

describe('ids', () => {
  it('survive the way there and back, and hold no colon', () => {
    fc.assert(
      fc.property(connections, passes, (connection, pass) => {
        const run = { connection, stream: 'tiledesk.leads', pass } as const;
        expect(parseScheduleId(scheduleId(run))).toEqual(run);
        expect(scheduleId(run)).not.toContain(':');
        expect(deduplicationId(run)).not.toContain(':');
      }),
    );
  });

  it('are one per stream and lane, so that two full syncs of a stream exclude each other', () => {
    const stream = { connection: 'tiledesk:a', stream: 'tiledesk.leads' };
    const [backfill, reconcile, incremental] = (['backfill', 'reconcile', 'incremental'] as const).map((pass) =>
      deduplicationId({ ...stream, pass }),
    );
    expect(backfill).toBe('tiledesk%3Aa.tiledesk.leads.bulk');
    expect(reconcile).toBe(backfill);
    expect(incremental).toBe('tiledesk%3Aa.tiledesk.leads.fast');
  });

  it.each(['', 'x', 'a.b', 'a.b.unknown', '%.tiledesk.leads.backfill'])('are not read from %j', (id) => {
    expect(parseScheduleId(id)).toBeNull();
  });
});

describe('a payload', () => {
  it('is refused when it does not say what to run', () => {
    expect(() => parseRunJob({ connection: 'a', stream: 'b', pass: 'everything', trigger: 'manual' })).toThrow();
    expect(() => parseRunJob(null)).toThrow();
  });

  it('says which run it goes on with in digits', () => {
    const job = { connection: 'a', stream: 'b', pass: 'backfill', trigger: 'manual' };
    expect(parseRunJob({ ...job, continues: '42' })).toEqual({ ...job, continues: '42' });
    expect(() => parseRunJob({ ...job, continues: 'x' })).toThrow();
  });

  it('loses what does not belong in a job', () => {
    const job = { connection: 'a', stream: 'b', pass: 'backfill', trigger: 'manual' };
    expect(parseRunJob({ ...job, password: 'x' })).toEqual(job);
  });
});

describe('schedules', () => {
  const now = Date.UTC(2026, 9, 24, 12);
  const general = { incremental: '*/5 * * * *', reconcile: '0 3 * * *', count: null, timezone: 'Europe/Rome' };
  const make = (changes: Partial<StreamSchedule> = {}, length = 100) => {
    const schedule = { ...general, ...changes };
    const streams = Array.from({ length }, (_, i) => ({
      connectionId: `tiledesk:${i}`,
      stream: 'tiledesk.leads',
      schedule,
    }));
    return wantedSchedules(streams, now);
  };

  it('are the same whenever they are made', () => {
    expect(make()).toEqual(make());
  });

  it('are spread over less than a tenth of the pause, at most a minute', () => {
    const seconds = (pass: string) =>
      make()
        .filter(({ job }) => job.pass === pass)
        .map(({ cron }) => Number(cron.split(' ')[0]));
    expect(Math.max(...seconds('incremental'))).toBeLessThan(30);
    expect(new Set(seconds('incremental')).size).toBeGreaterThan(20);
    expect(Math.max(...seconds('reconcile'))).toBeLessThan(60);
    expect(new Set(seconds('reconcile')).size).toBeGreaterThan(40);
  });

  it('of a crowd are spread over the whole pause, where the cron names no minutes', () => {
    const crons = make({ incremental: '*/10 8-18 * * *', reconcile: '7 3 * * *' }, 600);
    const starts = crons.filter(({ job }) => job.pass === 'incremental').map(({ cron }) => cron.split(' '));
    for (const [second, minute, ...rest] of starts) {
      expect(Number(second)).toBeLessThan(60);
      expect(minute).toMatch(/^[0-9]-59\/10$/);
      expect(rest).toEqual(['8-18', '*', '*', '*']);
    }
    expect(new Set(starts.map(([, minute]) => minute)).size).toBe(10);
    expect(new Set(starts.map(([second, minute]) => `${minute} ${second}`)).size).toBeGreaterThan(300);
    for (const { cron } of crons.filter(({ job }) => job.pass === 'reconcile')) expect(cron).toMatch(/^\d+ 7 3 /);
  });

  it('keep a cron with seconds as it is', () => {
    expect(make({ incremental: '*/10 * * * * *' })[0]?.cron).toBe('*/10 * * * * *');
  });

  it('never tick before the cron nor later than the spread', () => {
    const crons = fc.constantFrom('* * * * *', '*/5 * * * *', '7 */2 * * *', '0 3 * * *', '30 2 * * 0', '0 0 1 * *');
    fc.assert(
      fc.property(crons, fc.string({ minLength: 1 }), fc.integer({ min: 0, max: 4e8 }), (cron, connection, after) => {
        const schedule = { cron, timezone: 'UTC' };
        const from = now + after * 100;
        const limit = jitterLimitSeconds(cron, from);
        const own = { incremental: cron, reconcile: null, count: null, timezone: 'UTC' };
        const [wanted] = wantedSchedules([{ connectionId: connection, stream: 's', schedule: own }], from);
        const base = nextTick(schedule, from);
        const spread = nextTick({ cron: wanted?.cron ?? '', timezone: 'UTC' }, base - 1) - base;
        expect(spread).toBeGreaterThanOrEqual(0);
        expect(spread).toBeLessThan(Math.max(1, limit) * 1000);
      }),
    );
  });
});

describe('schedules of streams', () => {
  const now = Date.UTC(2026, 9, 24, 12);
  const at = (connectionId: string, changes: Partial<StreamSchedule>) => ({
    connectionId,
    stream: 'tiledesk.leads',
    schedule: { incremental: '*/5 * * * *', reconcile: '0 3 * * *', count: null, timezone: 'UTC', ...changes },
  });

  it('are as each stream wants them; what is off has none', () => {
    const streams = [
      at('a', { incremental: '* * * * *', timezone: 'Europe/Paris' }),
      at('b', { incremental: null }),
      at('c', { incremental: null, reconcile: null }),
    ];
    expect(
      wantedSchedules(streams, now).map(({ id, cron, timezone }) => [id, cron.replace(/^\d+ /, ''), timezone]),
    ).toEqual([
      ['a.tiledesk.leads.incremental', '* * * * *', 'Europe/Paris'],
      ['a.tiledesk.leads.reconcile', '0 3 * * *', 'Europe/Paris'],
      ['b.tiledesk.leads.reconcile', '0 3 * * *', 'UTC'],
    ]);
  });

  it('are made for ten thousand connections in a moment', () => {
    const streams = Array.from({ length: 40_000 }, (_, i) =>
      at(`tiledesk:${i >> 2}`, { reconcile: `${i % 60} 3 * * *` }),
    );
    const cpu = process.cpuUsage();
    expect(wantedSchedules(streams, now)).toHaveLength(80_000);
    expect(process.cpuUsage(cpu).user / 1000).toBeLessThan(4_000);
  });
});

describe('the pauses of a schedule', () => {
  const now = Date.UTC(2026, 9, 24, 12);
  const [minute, hour] = [60_000, 3_600_000];

  it.each([
    ['* * * * *', minute, minute],
    ['*/5 * * * *', 5 * minute, 5 * minute],
    ['*/7 * * * *', 4 * minute, 7 * minute],
    ['0-30 * * * *', minute, 30 * minute],
    ['*/10 * * * * *', 10_000, 10_000],
    ['0 3 * * *', 24 * hour, 24 * hour],
    ['0 0,12 * * *', 12 * hour, 12 * hour],
    // The night, and the weekend.
    ['*/5 9-17 * * *', 5 * minute, 15 * hour + 5 * minute],
    ['*/5 9-17 * * 1-5', 5 * minute, 63 * hour + 5 * minute],
    ['30 2 * * 0', 168 * hour, 168 * hour],
    ['0 0 1 * *', 28 * 24 * hour, 31 * 24 * hour],
  ])('%s', (cron, shortestMs, longestMs) => {
    expect(pausesOf(cron, now)).toEqual({ shortestMs, longestMs });
  });

  it('are never wrong about a tick that comes', () => {
    const crons = fc.constantFrom('*/7 3-5 * * *', '5,6 */5 * * 2,4', '1 2 3 * *', '59 23 28-31 1,6 *', '0 0 * * 1#2');
    fc.assert(
      fc.property(crons, fc.integer({ min: 0, max: 3e7 }), (cron, after) => {
        const from = now + after * 1000;
        const first = nextTick({ cron, timezone: 'UTC' }, from);
        const pause = nextTick({ cron, timezone: 'UTC' }, first) - first;
        const { shortestMs, longestMs } = pausesOf(cron, from);
        expect(pause).toBeGreaterThanOrEqual(shortestMs);
        expect(pause).toBeLessThanOrEqual(longestMs);
      }),
      { numRuns: 40 },
    );
  });

  it('decide when a stream is late: its incremental pass, else its full sync; without both it is never fresh', () => {
    const schedule = { incremental: '*/5 * * * *', reconcile: '0 3 * * *', timezone: 'UTC' };
    expect(freshWithinSeconds(schedule, now)).toBe(720);
    expect(freshWithinSeconds({ ...schedule, incremental: null }, now)).toBe(2 * 86_400 + 120);
    expect(freshWithinSeconds({ ...schedule, reconcile: null }, now)).toBe(720);
    expect(freshWithinSeconds({ ...schedule, incremental: null, reconcile: null }, now)).toBe(0);
  });
});

describe('the outcome of a job', () => {
  const error = { code: 'rate_limited', message: '' };

  it('delays by what the upstream asked for, within bounds', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), (retryInMs) => {
        const verdict = jobOutcomeOf({ outcome: 'postponed', error, retryInMs }, {}, 0);
        if (verdict.kind !== 'delay') throw new Error(verdict.kind);
        expect(verdict.delayMs).toBeGreaterThanOrEqual(Math.min(900_000, Math.max(1_000, retryInMs)));
        expect(verdict.delayMs).toBeLessThanOrEqual(900_000);
      }),
    );
  });

  it('stops delaying after a hundred times or a day', () => {
    const postponed = { outcome: 'postponed', error, retryInMs: 1 } as const;
    expect(jobOutcomeOf(postponed, { postponed: { count: 99, since: 0 } }, 1).kind).toBe('delay');
    expect(jobOutcomeOf(postponed, { postponed: { count: 100, since: 0 } }, 1).kind).toBe('give_up');
    expect(jobOutcomeOf(postponed, { postponed: { count: 1, since: 0 } }, 24 * 3_600_000).kind).toBe('give_up');
  });

  it.each([
    [{ outcome: 'succeeded', error: null }, 'done'],
    [{ outcome: 'partial', error }, 'done'],
    [{ outcome: 'postponed', error: { code: 'backfill_first', message: '' } }, 'done'],
    [{ outcome: 'failed', error }, 'done'],
    [{ outcome: 'failed', error: { code: 'auth_role', message: '' } }, 'cool_down'],
    [{ outcome: 'failed', error: { code: 'project_not_found', message: '' } }, 'cool_down'],
    [{ outcome: 'failed', error: { code: 'wrong_base_url', message: '' } }, 'cool_down'],
    [{ outcome: 'cancelled', error: { code: 'stopped', message: '' } }, 'hand_back'],
    [{ outcome: 'cancelled', error: { code: 'lease_lost', message: '' } }, 'done'],
    [{ outcome: 'cancelled', error: { code: 'paused', message: '' } }, 'done'],
    [{ outcome: 'cancelled', error: { code: 'cancelled_by_person', message: '' } }, 'done'],
    [{ outcome: 'cancelled', error: { code: 'resync', message: '' } }, 'done'],
    [{ outcome: 'cancelled', error: { code: 'not_configured', message: '' } }, 'done'],
    [{ outcome: 'postponed', error: { code: 'yielded', message: '' } }, 'yield'],
  ] as const)('%j is %s', (result, kind) => {
    expect(jobOutcomeOf({ ...result, retryInMs: null }, {}, 0).kind).toBe(kind);
  });

  it('never gives up a run that lets others have their turn, however often it was put off', () => {
    const yielded = { outcome: 'postponed', error: { code: 'yielded', message: '' }, retryInMs: null } as const;
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (count, now) => {
        expect(jobOutcomeOf(yielded, { postponed: { count, since: 0 } }, now)).toEqual({ kind: 'yield' });
      }),
    );
  });

  it('parks a connection for a quarter of an hour', () => {
    const parking = new Cooldown();
    parking.start('a', 0);
    expect(parking.isActive('a', 899_999)).toBe(true);
    expect(parking.isActive('a', 900_000)).toBe(false);
    expect(parking.isActive('b', 0)).toBe(false);
    parking.end('a');
    expect(parking.isActive('a', 0)).toBe(false);
  });
});

describe('an unfinished walk', () => {
  const walk: UnfinishedPass = {
    connection: 'a',
    stream: 's',
    pass: 'backfill',
    failures: 0,
    lastCode: null,
    endedAgoMs: 0,
  };

  it('is taken up at once when it never failed', () => {
    expect(isDue(walk)).toBe(true);
    expect(isDue({ ...walk, endedAgoMs: null })).toBe(true);
  });

  it('is tried less and less often while it fails, but at least four times an hour', () => {
    const pause = (failures: number) => {
      let minutes = 0;
      while (!isDue({ ...walk, failures, lastCode: 'network', endedAgoMs: minutes * 60_000 })) minutes++;
      return minutes;
    };
    expect([1, 2, 3, 4, 5, 50].map(pause)).toEqual([1, 2, 4, 8, 15, 15]);
  });

  it('waits longest where a person has to act', () => {
    const refused = { ...walk, failures: 1, lastCode: 'auth_failed' };
    expect(isDue({ ...refused, endedAgoMs: 899_999 })).toBe(false);
    expect(isDue({ ...refused, endedAgoMs: 900_000 })).toBe(true);
  });
});

describe('the watch on the queue', () => {
  it('says once that the queue is away and once that it is back', async () => {
    const lines: string[] = [];
    const logger = unheardLogger();
    const say = (level: string) => (_facts: unknown, text?: string) => void lines.push(`${level} ${text ?? _facts}`);
    jest.spyOn(logger, 'warn').mockImplementation(say('warn'));
    jest.spyOn(logger, 'info').mockImplementation(say('info'));
    let isAway = true;
    let pings = 0;
    const watch = new QueueWatch({
      logger,
      intervalMs: 5,
      ping: async () => {
        pings++;
        if (isAway) throw new Error('away');
      },
    });
    for (let i = 0; i < 50; i++) watch.report(new Error(`connect ECONNREFUSED ${i}`));
    while (pings < 4) await new Promise(setImmediate);
    watch.report(new Error('again'));
    isAway = false;
    while (lines.length < 2) await new Promise(setImmediate);
    watch.close();
    expect(lines).toEqual(['warn the queue cannot be reached', 'info the queue is back']);
  });

  it('shows no user and password of a URL', () => {
    expect(describeError(new Error('cannot connect to redis://user:secret@host:6379/0\nmore'))).toBe(
      'cannot connect to redis://host:6379/0',
    );
  });
});
