import { isLoopback } from '../loopback.ts';
import { type Channel, DeliveryError } from './channel.ts';
import { describeDigest } from './digest.ts';

export interface EmailSettings {
  readonly to: readonly string[];
  readonly from: string;
  /** smtp:// or smtps://, with user and password. */
  readonly smtpUrl: string;
  /** Accept a server beyond this machine that cannot encrypt. */
  readonly allowPlain: boolean;
}

const TIMEOUT_MS = 10_000;

export function createEmail({ to, from, smtpUrl, allowPlain }: EmailSettings): Channel {
  const url = new URL(smtpUrl);
  const isSecure = url.protocol === 'smtps:';
  const port = Number(url.port || (isSecure ? 465 : 587));
  // The URL class takes smtp:// for a protocol that it does not know, and keeps brackets and case.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const address = `${url.hostname}:${port}`;
  const isHere = isLoopback(host);
  return {
    name: 'email',
    address,
    async send(id, digest) {
      const { createTransport } = await import('nodemailer');
      const transport = createTransport({
        host,
        port,
        secure: isSecure,
        // Without it a device in between could take the offer of STARTTLS away, and the password would travel readable.
        requireTLS: !isSecure && !isHere && !allowPlain,
        connectionTimeout: TIMEOUT_MS,
        greetingTimeout: TIMEOUT_MS,
        socketTimeout: TIMEOUT_MS,
        ...(url.username !== '' && {
          auth: { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) },
        }),
      });
      const domain = /@([^\s<>@]+)>?$/.exec(from)?.[1] ?? 'leadmirror';
      try {
        await transport.sendMail({
          from,
          to: [...to],
          subject: `[leadmirror] ${digest.summary}`.slice(0, 200),
          text: `${describeDigest(digest) || digest.summary}\n`,
          messageId: `<${id}@${domain}>`,
          date: new Date(digest.created_at),
          headers: { 'Auto-Submitted': 'auto-generated', 'X-Leadmirror-Id': id },
          disableFileAccess: true,
          disableUrlAccess: true,
        });
      } catch (cause) {
        throw new DeliveryError(describe(cause, address));
      } finally {
        transport.close();
      }
    },
    close: async () => {},
  };
}

/** Uses the library's code and the server's number only: the text of a server may quote addresses. */
const CAUSES: Readonly<Record<string, string>> = {
  EAUTH: 'refused the sign-in; check user and password in SMTP_URL (percent-encode special characters)',
  ENOAUTH: 'wants a sign-in; put user and password into SMTP_URL',
  EENVELOPE: 'refused the sender or a recipient; check ALERT_EMAIL_FROM and ALERT_EMAIL_TO',
  EMESSAGE: 'refused the message',
  ETLS: 'does not encrypt, or its certificate is not trusted; use smtps://, check the port, or name the authority in NODE_EXTRA_CA_CERTS',
  EREQUIRETLS: 'does not encrypt; use smtps://, or set ALLOW_INSECURE_HTTP=true on a trusted network',
  EDNS: 'cannot be found; check the host name in SMTP_URL',
  ETIMEDOUT: 'did not answer in time; check host and port in SMTP_URL, and the firewall',
  ECONNECTION: 'cannot be reached; check host and port in SMTP_URL, and the firewall',
  ESOCKET: 'cannot be reached; check host, port and protocol (smtp or smtps) in SMTP_URL, and the firewall',
  EPROTOCOL: 'does not speak SMTP; check host and port in SMTP_URL',
};

function describe(cause: unknown, address: string): string {
  const { code, responseCode } = (cause ?? {}) as { code?: unknown; responseCode?: unknown };
  const what = CAUSES[String(code)] ?? `did not take the message (${typeof code === 'string' ? code : 'unknown'})`;
  return `the mail server ${address} ${what}${typeof responseCode === 'number' ? ` (it answered ${responseCode})` : ''}`;
}
