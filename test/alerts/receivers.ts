import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { record } from '../helpers/printed/record.ts';

/** A webhook receiver that answers as it is told and keeps what it accepted. */
export interface Receiver {
  readonly url: string;
  /** What was posted and answered with 2xx. */
  readonly accepted: Record<string, unknown>[];
  readonly headers: Record<string, string | string[] | undefined>[];
  /** Of every request, accepted or not: the path, and the id of the message. */
  readonly paths: string[];
  readonly ids: string[];
  status: number;
  close(): Promise<void>;
}

export async function startReceiver(path = '/hooks/T0SECRET'): Promise<Receiver> {
  const server = createHttpServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    request.on('end', () => {
      record({ kind: 'message', what: 'webhook', text });
      receiver.paths.push(request.url ?? '');
      receiver.ids.push(String(request.headers['idempotency-key']));
      if (receiver.status < 300 && text !== '') {
        receiver.accepted.push(JSON.parse(text));
        receiver.headers.push(request.headers);
      }
      response.writeHead(receiver.status).end('ok');
    });
  });
  const receiver: Receiver = {
    url: `${await listen(server)}${path}`,
    accepted: [],
    headers: [],
    paths: [],
    ids: [],
    status: 200,
    close: closer(server),
  };
  return receiver;
}

/** A mail server of forty lines: it speaks the dialogue of SMTP, checks a password, and keeps what it took. */
export interface MailServer {
  readonly port: number;
  readonly mails: { readonly from: string; readonly to: readonly string[]; readonly text: string }[];
  close(): Promise<void>;
}

export async function startMailServer(password: string, { refuses = '' } = {}): Promise<MailServer> {
  const mails: MailServer['mails'] = [];
  const server = createServer((socket) => talk(socket, { password, refuses, mails }));
  const url = await listen(server);
  return { port: Number(new URL(url).port), mails, close: closer(server) };
}

function talk(
  socket: Socket,
  { password, refuses, mails }: { password: string; refuses: string; mails: MailServer['mails'] },
): void {
  const say = (line: string) => socket.write(`${line}\r\n`);
  let from = '';
  let to: string[] = [];
  let data: string[] | null = null;
  let rest = '';
  const onLine = (line: string) => {
    if (data !== null) {
      if (line !== '.') return void data.push(line.replace(/^\.\./, '.'));
      const text = data.join('\n');
      mails.push({ from, to, text });
      record({ kind: 'message', what: 'mail', text });
      data = null;
      to = [];
      return say('250 taken');
    }
    const [verb = ''] = line.toUpperCase().split(/[ :]/);
    const address = /<([^>]*)>/.exec(line)?.[1] ?? '';
    if (verb === 'EHLO') return say('250-here\r\n250 AUTH PLAIN');
    if (verb === 'AUTH') {
      const [, , given] = Buffer.from(line.split(' ')[2] ?? '', 'base64')
        .toString('utf8')
        .split('\0');
      return say(given === password ? '235 welcome' : '535 5.7.8 no such user or password');
    }
    if (verb === 'MAIL') from = address;
    if (verb === 'RCPT') {
      if (address === refuses) return say(`550 5.1.1 <${address}> is not known here`);
      to.push(address);
    }
    if (verb === 'DATA') {
      data = [];
      return say('354 go on');
    }
    say(verb === 'QUIT' ? '221 bye' : '250 ok');
  };
  socket.setEncoding('utf8').on('error', () => {});
  socket.on('data', (part: string) => {
    const lines = (rest + part).split('\r\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  say('220 mail.test');
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const closer = (server: Server) => async () => {
  server.close();
  if ('closeAllConnections' in server) (server as unknown as { closeAllConnections(): void }).closeAllConnections();
};
