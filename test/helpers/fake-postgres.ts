import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What is answered in place of the server. */
export type PostgresAnswer = SqlError | 'silence' | 'close' | 'garbage';

export interface SqlError {
  readonly sqlstate: string;
  readonly message?: string;
  /** `FATAL` and `PANIC` end the connection, as they do in Postgres. Default: `FATAL` at the start-up, else `ERROR`. */
  readonly severity?: 'ERROR' | 'FATAL' | 'PANIC';
  /** Further fields by their letter in the protocol: `D` detail, `H` hint, `t` table, `c` column, `n` constraint. */
  readonly fields?: Readonly<Record<string, string>>;
}

interface Certificate {
  readonly key: string;
  readonly cert: string;
}

const isCertificate = (tls: PostgresAnswer | Certificate): tls is Certificate =>
  typeof tls === 'object' && 'key' in tls;

/** Everything that is left out is answered by the real server. */
export interface PostgresTrouble {
  /** A new connection, before it has sent anything. */
  readonly connection?: PostgresAnswer;
  /** The request for TLS. Default: no TLS (`N`). A key and a certificate: TLS. */
  readonly tls?: PostgresAnswer | Certificate;
  /** A start-up without TLS, as with `hostssl` in pg_hba.conf. */
  readonly plain?: PostgresAnswer;
  /** The start-up packet; called with its parameters. */
  readonly startUp?: (parameters: Readonly<Record<string, string>>) => PostgresAnswer | null;
  /** How a password is asked for, whatever the real server wants; the one that is sent gets `password` for an answer. */
  readonly authentication?: 'cleartext' | 'md5' | 'scram' | 'gss';
  readonly password?: PostgresAnswer;
  /** A statement; `nth` counts those of its connection from 1. Called when it is prepared and, where it is prepared once for many, at each use. */
  readonly query?: (sql: string, nth: number) => PostgresAnswer | null;
}

export interface FakePostgres {
  /** The given URL, by way of the fake. */
  readonly url: string;
  /** May be changed at any time; holds for what comes next. */
  trouble: PostgresTrouble;
  /** Statements since the start, of all connections. */
  readonly statements: readonly string[];
  readonly openConnections: number;
  close(): Promise<void>;
}

const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
const DEMANDS = {
  cleartext: int32(3),
  md5: Buffer.concat([int32(5), Buffer.from('salt')]),
  scram: Buffer.concat([int32(10), Buffer.from('SCRAM-SHA-256\0\0')]),
  gss: int32(7),
};

/** Stands before a real Postgres and puts chosen answers in place of its own: any SQLSTATE at the start-up or at any statement, silence, garbage, an end. */
export async function startFakePostgres(target: string, trouble: PostgresTrouble = {}): Promise<FakePostgres> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const statements: string[] = [];
  const server = createServer((client) => {
    track(client);
    const { connection } = fake.trouble;
    if (connection !== undefined) reply(client, connection, 'FATAL');
    else client.once('data', (packet) => greet(client, packet));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as { port: number }).port}`;

  function track(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  }

  /** Start-up packets have no letter: length, then a code or the version of the protocol. */
  function greet(client: Socket, packet: Buffer): void {
    const code = packet.length >= 8 ? packet.readInt32BE(4) : 0;
    const { tls } = fake.trouble;
    if (code === CANCEL_REQUEST) client.destroy();
    else if (code !== SSL_REQUEST && code !== GSS_REQUEST) startUp(client, packet);
    else if (code === SSL_REQUEST && tls !== undefined && isCertificate(tls)) {
      client.write('S');
      const secure = new TLSSocket(client, { isServer: true, key: tls.key, cert: tls.cert });
      track(secure);
      secure.once('data', (next: Buffer) => greet(secure, next));
    } else if (code === SSL_REQUEST && tls !== undefined && !isCertificate(tls)) reply(client, tls, 'FATAL');
    else {
      client.write('N');
      client.once('data', (next) => greet(client, next));
    }
  }

  function startUp(client: Socket, packet: Buffer): void {
    const words = packet.toString('utf8', 8).split('\0');
    const parameters = Object.fromEntries(
      words.flatMap((word, at) => (at % 2 === 0 && word !== '' ? [[word, words[at + 1] ?? '']] : [])),
    );
    const { plain, authentication, password } = fake.trouble;
    const refusal = client instanceof TLSSocket ? undefined : plain;
    const answer = refusal ?? fake.trouble.startUp?.(parameters) ?? null;
    if (answer !== null) reply(client, answer, 'FATAL');
    else if (authentication === undefined) passOn(client, packet);
    else {
      client.write(message('R', DEMANDS[authentication]));
      client.once('data', () => reply(client, password ?? { sqlstate: '28P01' }, 'FATAL'));
    }
  }

  function passOn(client: Socket, startUpPacket: Buffer): void {
    const real = connect(Number(port), hostname);
    track(real);
    real.on('close', () => client.destroy());
    client.on('close', () => real.destroy());
    real.write(startUpPacket);
    let status = 'I';
    real.on('data', (data) => {
      // ReadyForQuery is the last message of an answer.
      if (data.length >= 6 && data.readInt32BE(data.length - 5) === 5)
        status = data.toString('latin1', data.length - 1);
      client.write(data);
    });
    const prepared = new Map<string, string>();
    let nth = 0;
    let isSkipping = false;
    const ready = () => client.write(message('Z', Buffer.from(status === 'T' ? 'E' : status)));

    function take(type: string, body: Buffer, whole: Buffer): void {
      if (isSkipping) {
        isSkipping = type !== 'S';
        if (!isSkipping) ready();
        return;
      }
      const sql = sqlOf(type, body, prepared);
      if (sql !== null) statements.push(sql);
      const answer = sql === null ? null : (fake.trouble.query?.(sql, ++nth) ?? null);
      if (answer === null) {
        real.write(whole);
        return;
      }
      reply(client, answer, 'ERROR');
      // After an error the server takes no notice of anything before the next Sync.
      if (type === 'Q') ready();
      else isSkipping = true;
    }

    let rest = Buffer.alloc(0);
    client.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 5 && rest.length >= 1 + rest.readInt32BE(1)) {
        const end = 1 + rest.readInt32BE(1);
        const whole = rest.subarray(0, end);
        rest = rest.subarray(end);
        take(String.fromCharCode(whole[0] ?? 0), whole.subarray(5), whole);
      }
    });
  }

  const fake = {
    url: url.href,
    trouble,
    statements,
    get openConnections() {
      return server.listening ? [...sockets].filter((socket) => socket.localPort === Number(url.port)).length : 0;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return fake;
}

/** The text of a statement that begins with this message; null when none does. A statement with a name is prepared once and then bound by its name. */
function sqlOf(type: string, body: Buffer, prepared: Map<string, string>): string | null {
  const [first = '', second = ''] = body.toString('utf8').split('\0', 2);
  if (type === 'Q') return first;
  if (type === 'P') prepared.set(first, second);
  if (type === 'P') return second;
  return type === 'B' && second !== '' ? (prepared.get(second) ?? null) : null;
}

function reply(client: Socket, answer: PostgresAnswer, severity: 'ERROR' | 'FATAL'): void {
  if (answer === 'silence') client.removeAllListeners('data').resume();
  else if (answer === 'close') client.end();
  else if (answer === 'garbage') client.end('HTTP/1.1 400 Bad Request\r\n\r\n<html>no database here</html>');
  else {
    const { sqlstate, message: text = `said with ${sqlstate}`, fields = {} } = answer;
    const level = answer.severity ?? severity;
    const words = Object.entries({ S: level, V: level, C: sqlstate, M: text, ...fields });
    const body = `${words.map(([letter, value]) => `${letter}${value}\0`).join('')}\0`;
    client.write(message('E', Buffer.from(body)));
    if (level !== 'ERROR') client.end();
  }
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(4 + body.length), body]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
