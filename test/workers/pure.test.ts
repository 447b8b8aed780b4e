import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger } from '../../src/logger.ts';
import { nextTick } from '../../src/sync/schedule.ts';
import { describeError, QueueWatch } from '../../workers/queue-watch.ts';
import { deduplicationId, parseRunJob, parseScheduleId, scheduleId } from '../../workers/run-job.ts';
import { jitterLimitSeconds, wantedSchedules } from '../../workers/schedules.ts';
import { isDue, type UnfinishedPass } from '../../workers/unfinished.ts';
import { Parking, verdictOf } from '../../workers/verdict.ts';

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

  it('are one per stream and lane, so that two full walks of a stream exclude each other', () => {
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

  it('loses what does not belong in a job', () => {
    const job = { connection: 'a', stream: 'b', pass: 'backfill', trigger: 'manual' };
    expect(parseRunJob({ ...job, password: 'x' })).toEqual(job);
  });
});

describe('schedules', () => {
  const streams = Array.from({ length: 300 }, (_, i) => ({ connection: `tiledesk:${i}`, stream: 'tiledesk.leads' }));
  const sync = { incrementalCron: '*/5 * * * *', reconcileCron: '0 3 * * *', timezone: 'Europe/Rome' };
  const now = Date.UTC(2026, 9, 24, 12);
  const make = (changes: Partial<typeof sync> = {}) =>
    wantedSchedules(streams, { ...sync, ...changes, lookbackSeconds: 300, deleteBrake: 0.1 }, now);

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

  it('keep a cron with seconds as it is', () => {
    expect(make({ incrementalCron: '*/10 * * * * *' })[0]?.cron).toBe('*/10 * * * * *');
  });

  it('never tick before the cron nor later than the spread', () => {
    const crons = fc.constantFrom('* * * * *', '*/5 * * * *', '7 */2 * * *', '0 3 * * *', '30 2 * * 0', '0 0 1 * *');
    fc.assert(
      fc.property(crons, fc.string({ minLength: 1 }), fc.integer({ min: 0, max: 4e8 }), (cron, connection, after) => {
        const schedule = { cron, timezone: 'UTC' };
        const from = now + after * 100;
        const limit = jitterLimitSeconds(schedule, from);
        const [wanted] = wantedSchedules(
          [{ connection, stream: 's' }],
          { ...sync, timezone: 'UTC', incrementalCron: cron, lookbackSeconds: 0, deleteBrake: 0 },
          from,
        );
        const base = nextTick(schedule, from);
        const spread = nextTick({ cron: wanted?.cron ?? '', timezone: 'UTC' }, base - 1) - base;
        expect(spread).toBeGreaterThanOrEqual(0);
        expect(spread).toBeLessThan(Math.max(1, limit) * 1000);
      }),
    );
  });
});

describe('the verdict on a run', () => {
  const error = { code: 'rate_limited', message: '' };

  it('delays by what the upstream asked for, within bounds', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), (retryInMs) => {
        const verdict = verdictOf({ outcome: 'postponed', error, retryInMs }, {}, 0);
        if (verdict.kind !== 'delay') throw new Error(verdict.kind);
        expect(verdict.delayMs).toBeGreaterThanOrEqual(Math.min(900_000, Math.max(1_000, retryInMs)));
        expect(verdict.delayMs).toBeLessThanOrEqual(900_000);
      }),
    );
  });

  it('stops delaying after a hundred times or a day', () => {
    const postponed = { outcome: 'postponed', error, retryInMs: 1 } as const;
    expect(verdictOf(postponed, { postponed: { count: 99, since: 0 } }, 1).kind).toBe('delay');
    expect(verdictOf(postponed, { postponed: { count: 100, since: 0 } }, 1).kind).toBe('give_up');
    expect(verdictOf(postponed, { postponed: { count: 1, since: 0 } }, 24 * 3_600_000).kind).toBe('give_up');
  });

  it.each([
    [{ outcome: 'succeeded', error: null }, 'done'],
    [{ outcome: 'partial', error }, 'done'],
    [{ outcome: 'postponed', error: { code: 'backfill_first', message: '' } }, 'done'],
    [{ outcome: 'failed', error }, 'done'],
    [{ outcome: 'failed', error: { code: 'auth_role', message: '' } }, 'park'],
    [{ outcome: 'failed', error: { code: 'project_not_found', message: '' } }, 'park'],
    [{ outcome: 'failed', error: { code: 'wrong_base_url', message: '' } }, 'park'],
    [{ outcome: 'cancelled', error: { code: 'stopped', message: '' } }, 'hand_back'],
    [{ outcome: 'cancelled', error: { code: 'lease_lost', message: '' } }, 'done'],
  ] as const)('%j is %s', (result, kind) => {
    expect(verdictOf({ ...result, retryInMs: null }, {}, 0).kind).toBe(kind);
  });

  it('parks a connection for a quarter of an hour', () => {
    const parking = new Parking();
    parking.park('a', 0);
    expect(parking.isParked('a', 899_999)).toBe(true);
    expect(parking.isParked('a', 900_000)).toBe(false);
    expect(parking.isParked('b', 0)).toBe(false);
    parking.unpark('a');
    expect(parking.isParked('a', 0)).toBe(false);
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
    const logger = silentLogger();
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
