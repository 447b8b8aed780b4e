import { describe, expect, test } from '@jest/globals';
import { describeConfig, loadConfig } from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';

/** Metrics, alerts, traces. */
const load = (env: Readonly<Record<string, string>>) =>
  loadConfig({ env, cwd: '/', isTerminal: false }, { requireConnections: false });

function problems(env: Readonly<Record<string, string>>): string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
    throw error;
  }
  return [];
}

const HOOK = 'https://hooks.example.com/services/T0SECRET';
const MAIL = {
  ALERT_EMAIL_TO: 'ops@example.com, Two <two@example.com>',
  ALERT_EMAIL_FROM: 'Mirror <mirror@example.com>',
  SMTP_URL: 'smtps://user:p%40ss@mail.example.com:465',
};
const TRACES = {
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20c2VjcmV0, x-tenant = shop',
};

describe('what is understood', () => {
  test('a webhook, mail and its wait', () => {
    const { alerts } = load({
      ALERT_WEBHOOK_URL: HOOK,
      ALERT_WEBHOOK_FORMAT: 'Slack',
      ALERT_AFTER_SECONDS: '0',
      ...MAIL,
    });
    expect(alerts).toEqual({
      webhook: { url: HOOK, format: 'slack' },
      email: {
        to: ['ops@example.com', 'Two <two@example.com>'],
        from: MAIL.ALERT_EMAIL_FROM,
        smtpUrl: MAIL.SMTP_URL,
        allowPlain: false,
      },
      afterMs: 0,
    });
  });

  test('a collector with headers, a name and a share', () => {
    const sampler = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' };
    expect(load({ ...TRACES, ...sampler, OTEL_SERVICE_NAME: 'shop' }).tracing).toEqual({
      endpoint: 'http://localhost:4318',
      headers: { authorization: 'Basic c2VjcmV0', 'x-tenant': 'shop' },
      serviceName: 'shop',
      sampler: 'parentbased_traceidratio',
      samplerRatio: 0.25,
    });
  });

  test('plain http, on this machine or on purpose', () => {
    expect(problems({ ALERT_WEBHOOK_URL: 'http://127.0.0.1:9/x' })).toEqual([]);
    expect(problems({ ALERT_WEBHOOK_URL: 'http://hooks.internal/x', ALLOW_INSECURE_HTTP: 'true' })).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each<[Readonly<Record<string, string>>, RegExp]>([
    [{ ALERT_WEBHOOK_URL: 'http://hooks.example.com/x' }, /^ALERT_WEBHOOK_URL: must begin with https:\/\//],
    [{ ALERT_WEBHOOK_URL: 'https://me:T0SECRET@hooks.example.com/x' }, /^ALERT_WEBHOOK_URL: must not hold a user name/],
    [{ ALERT_WEBHOOK_URL: 'T0SECRET' }, /^ALERT_WEBHOOK_URL: must be a full address/],
    [{ ...MAIL, ALERT_EMAIL_TO: 'ops@example.com, T0SECRET' }, /^ALERT_EMAIL_TO: entry 2 is not an e-mail address/],
    [{ ...MAIL, SMTP_URL: 'https://T0SECRET@mail.example.com' }, /^SMTP_URL: must be a full address such as smtps:/],
    [{ ...MAIL, ALERT_EMAIL_FROM: '' }, /^ALERT_EMAIL_FROM: is missing; ALERT_EMAIL_TO needs it/],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector.example.com' },
      /^OTEL_EXPORTER_OTLP_ENDPOINT: must begin with https/,
    ],
    [{ ...TRACES, OTEL_EXPORTER_OTLP_HEADERS: 'T0SECRET' }, /^OTEL_EXPORTER_OTLP_HEADERS: must be name=value/],
    [{ ...TRACES, OTEL_TRACES_SAMPLER: 'sometimes' }, /^OTEL_TRACES_SAMPLER: must be always_on/],
    [{ METRICS_MAX_STREAMS: '-1' }, /^METRICS_MAX_STREAMS: must be a whole number/],
  ])('%j', (env, problem) => {
    const found = problems(env);
    expect(found).toEqual([expect.stringMatching(problem)]);
    expect(found.join()).not.toContain('T0SECRET');
  });
});

test('the description holds no path of a webhook, password, recipient or header', () => {
  const text = JSON.stringify(describeConfig(load({ ALERT_WEBHOOK_URL: HOOK, ...MAIL, ...TRACES })));
  expect(text).toContain('webhook at hooks.example.com');
  expect(text).toContain('localhost:4318');
  expect(text).not.toMatch(/T0SECRET|p%40ss|ops@|c2VjcmV0/);
});
