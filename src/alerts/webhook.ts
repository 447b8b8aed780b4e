import { LeadmirrorError } from '../errors.ts';
import { HttpClient, type HttpClientOptions } from '../http/client.ts';
import { hostAndPort } from '../http/secure-url.ts';
import { type Channel, DeliveryError } from './channel.ts';
import { type Digest, describeDigest } from './digest.ts';

export interface WebhookSettings {
  readonly url: string;
  readonly format: 'json' | 'slack';
}

export type WebhookOptions = Pick<HttpClientOptions, 'allowInsecureHttp' | 'proxy'>;

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024;

const FORMATS: Readonly<Record<WebhookSettings['format'], (id: string, digest: Digest) => unknown>> = {
  json: (id, digest) => ({ id, ...digest }),
  slack: (_id, digest) => ({
    text: escapeSlack([`leadmirror: ${digest.summary}`, describeDigest(digest)].filter(Boolean).join('\n\n')),
  }),
};

export function createWebhook({ url, format }: WebhookSettings, options: WebhookOptions): Channel {
  const client = new HttpClient({ timeoutMs: TIMEOUT_MS, maxBytes: MAX_ANSWER_BYTES, ...options });
  const address = hostAndPort(new URL(url));
  return {
    name: 'webhook',
    address,
    async send(id, digest) {
      const { status } = await client
        .send({
          method: 'POST',
          url,
          headers: { 'content-type': 'application/json', 'idempotency-key': id },
          body: JSON.stringify(FORMATS[format](id, digest)),
        })
        .catch((cause: unknown) => {
          throw new DeliveryError(describe(cause, url, address));
        });
      if (status < 200 || status >= 300) {
        throw new DeliveryError(`the webhook at ${address} answered with status ${status}; ${hintFor(status)}`);
      }
    },
    close: () => client.close(),
  };
}

/** Of many receivers the path is the secret. */
function describe(cause: unknown, url: string, address: string): string {
  if (!(cause instanceof LeadmirrorError)) return `the webhook at ${address} could not be reached`;
  const { pathname } = new URL(url);
  const text = pathname.length > 1 ? cause.message.replaceAll(pathname, '/…') : cause.message;
  return `webhook: ${text}`;
}

function hintFor(status: number): string {
  if (status === 400 || status === 415 || status === 422) return 'check ALERT_WEBHOOK_FORMAT: it expects another form';
  if (status >= 300 && status < 500 && status !== 408 && status !== 429) return 'check ALERT_WEBHOOK_URL';
  return 'this often passes by itself';
}

/** Slack's own marks would be read out of reasons and names otherwise. */
const escapeSlack = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
