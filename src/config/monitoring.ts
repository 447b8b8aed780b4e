import { z } from 'zod';
import { isConfidential, secretAddress } from './address.ts';
import { preset, type schemasOf, secret, unset } from './declare.ts';
import { eachOf, integer, oneOf, percentDecoded, secondsAsMs, share, text } from './values.ts';

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

const httpUrl = (allowInsecureHttp: boolean, example: string) =>
  secretAddress(/^https?$/, example).refine(
    (address) => isConfidential(new URL(address), allowInsecureHttp),
    'must begin with https://; to send it unencrypted on purpose, set ALLOW_INSECURE_HTTP=true',
  );

/** Bare, or as `Name <address>`; the mail server decides what it takes. */
const mailAddress = text.regex(/^([^<>\r\n]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$/, 'is not an e-mail address');

/** In the standard's form: `name=value,name=value`, percent-encoded. */
const headers = text.transform((given, context) => {
  const entries: [string, string][] = [];
  for (const pair of given.split(',').filter((part) => part.trim() !== '')) {
    const [, name, value] = /^\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*([\x20-\x7e]*?)\s*$/.exec(pair) ?? [];
    const decoded = value === undefined ? null : percentDecoded(value);
    if (name === undefined || decoded === null) {
      context.addIssue('must be name=value, several comma separated, special characters percent-encoded');
      return z.NEVER;
    }
    entries.push([name, decoded]);
  }
  return Object.fromEntries(entries);
});

export const MONITORING = {
  METRICS_MAX_STREAMS: preset('1000', integer(0, 100_000)),
  ALERT_WEBHOOK_URL: secret(({ allowInsecureHttp }) =>
    httpUrl(allowInsecureHttp, 'https://hooks.example.com/alerts').refine(
      (address) => new URL(address).username === '',
      'must not hold a user name or password; most receivers take a secret in the path',
    ),
  ),
  HEARTBEAT_URL: secret(({ allowInsecureHttp }) => httpUrl(allowInsecureHttp, 'https://hc.example.com/ping/…')),
  ALERT_WEBHOOK_FORMAT: preset('json', oneOf(['json', 'slack'])),
  ALERT_EMAIL_TO: secret(eachOf(mailAddress, 'names no e-mail address')),
  ALERT_EMAIL_FROM: secret(mailAddress),
  // The URL class looks at host names only in addresses that it knows, and here at no letter of them.
  SMTP_URL: secret(
    secretAddress(/^smtps?$/, 'smtps://user:password@mail.example.com:465').refine(
      (address) => URL.canParse(`http://${new URL(address).hostname}`),
      'must have the name of a mail server',
    ),
  ),
  ALERT_AFTER_SECONDS: preset('60', secondsAsMs(0, 86_400)),
  OTEL_EXPORTER_OTLP_ENDPOINT: unset(({ allowInsecureHttp }) => httpUrl(allowInsecureHttp, 'http://localhost:4318')),
  OTEL_EXPORTER_OTLP_HEADERS: secret(headers),
  OTEL_SERVICE_NAME: preset('leadmirror', text),
  OTEL_TRACES_SAMPLER: preset('parentbased_always_on', oneOf(SAMPLERS)),
  OTEL_TRACES_SAMPLER_ARG: preset('1', share),
};

type Variables = z.output<z.ZodObject<ReturnType<typeof schemasOf<typeof MONITORING>>>> & {
  readonly ALLOW_INSECURE_HTTP: boolean;
};

const EMAIL = ['ALERT_EMAIL_TO', 'ALERT_EMAIL_FROM', 'SMTP_URL'] as const;

/** Half a set of mail settings would be a mail that never comes. */
export function checkEmail(variables: Variables, context: z.RefinementCtx): void {
  const missing = EMAIL.filter((name) => variables[name] === undefined);
  const [given] = EMAIL.filter((name) => variables[name] !== undefined);
  if (given === undefined) return;
  for (const name of missing)
    context.addIssue({ code: 'custom', path: [name], message: `is missing; ${given} needs it` });
}

export function monitoringSettings(variables: Variables) {
  const { ALERT_WEBHOOK_URL: url, ALERT_EMAIL_TO: to, ALERT_EMAIL_FROM: from, SMTP_URL: smtpUrl } = variables;
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = variables;
  const hasEmail = to !== undefined && from !== undefined && smtpUrl !== undefined;
  return {
    metrics: { maxStreams: variables.METRICS_MAX_STREAMS },
    alerts: {
      webhook: url === undefined ? null : { url, format: variables.ALERT_WEBHOOK_FORMAT },
      email: hasEmail ? { to, from, smtpUrl, allowPlain: variables.ALLOW_INSECURE_HTTP } : null,
      afterMs: variables.ALERT_AFTER_SECONDS,
    },
    /** Called after each complete round of the scheduler; null: no address. */
    heartbeatUrl: variables.HEARTBEAT_URL ?? null,
    tracing:
      endpoint === undefined
        ? null
        : {
            endpoint,
            headers: variables.OTEL_EXPORTER_OTLP_HEADERS ?? {},
            serviceName: variables.OTEL_SERVICE_NAME,
            sampler: variables.OTEL_TRACES_SAMPLER,
            samplerRatio: variables.OTEL_TRACES_SAMPLER_ARG,
          },
  };
}
