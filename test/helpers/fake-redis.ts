import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** What is answered in place of the server: an error line as Redis writes it (`NOAUTH Authentication required.`), bytes as they are, or nothing. */
export type RedisAnswer = string | { readonly raw: string } | 'silence' | 'close' | 'garbage';

/** Called with each command in capital letters and its words (`SELECT`, `['5']`); null: the real server answers. */
export type RedisTrouble = (command: string, words: readonly string[]) => RedisAnswer | null;

export interface FakeRedis {
  readonly url: string;
  /** May be changed at any time; holds for what comes next. */
  trouble: RedisTrouble;
  /** Commands since the start, of all connections, in capital letters. */
  readonly commands: readonly string[];
  close(): Promise<void>;
}

/** Stands before a real Redis and puts chosen answers in place of its own, at any command. */
export async function startFakeRedis(target: string, trouble: RedisTrouble = () => null): Promise<FakeRedis> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const commands: string[] = [];
  const server = createServer((client) => {
    const real = connect(Number(port || 6379), hostname);
    for (const [socket, other] of [
      [client, real],
      [real, client],
    ] as const) {
      sockets.add(socket.setEncoding('latin1').on('error', () => {}));
      socket.on('close', () => sockets.delete(socket) && other.destroy());
    }
    let isSilent = false;
    const answers: string[] = [];
    let asked = '';
    client.on('data', (data: string) => {
      asked += data;
      for (let next = readCommand(asked); next !== null; next = readCommand(asked)) {
        asked = asked.slice(next.whole.length);
        const [name = '', ...words] = next.words;
        commands.push(name.toUpperCase());
        const answer = isSilent ? null : fake.trouble(name.toUpperCase(), words);
        if (answer === 'silence') isSilent = true;
        else if (answer === 'close') real.end();
        else if (answer === null) real.write(next.whole, 'latin1');
        else {
          answers.push(bytesOf(answer));
          real.write(PLACEHOLDER);
        }
      }
    });
    let answered = '';
    real.on('data', (data: string) => {
      if (isSilent) return;
      answered += data;
      for (let at = answered.indexOf(ECHOED); at >= 0; at = answered.indexOf(ECHOED)) {
        client.write(answered.slice(0, at) + (answers.shift() ?? ''), 'latin1');
        answered = answered.slice(at + ECHOED.length);
      }
      // What may be the beginning of a placeholder waits for its rest.
      let held = 0;
      for (let length = 1; length < ECHOED.length; length++)
        if (answered.endsWith(ECHOED.slice(0, length))) held = length;
      client.write(answered.slice(0, answered.length - held), 'latin1');
      answered = answered.slice(answered.length - held);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  const fake = {
    url: url.href,
    trouble,
    commands,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return fake;
}

/** The server is asked for an echo in place of the command, so that the answers keep their order, also within a transaction. */
const WORD = '__in place of another answer__';
const ECHOED = `$${WORD.length}\r\n${WORD}\r\n`;
const PLACEHOLDER = `*2\r\n$4\r\nECHO\r\n${ECHOED}`;

const bytesOf = (answer: Exclude<RedisAnswer, 'silence' | 'close'>): string => {
  if (typeof answer === 'object') return answer.raw;
  return answer === 'garbage' ? 'HTTP/1.1 400 Bad Request\r\n\r\n<html>no Redis here</html>\r\n' : `-${answer}\r\n`;
};

/** The first whole command of what a client sent: an array of texts with their lengths. */
function readCommand(text: string): { readonly words: readonly string[]; readonly whole: string } | null {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return null;
  const words: string[] = [];
  let at = head[0].length;
  while (words.length < Number(head[1])) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20));
    if (size === null) return null;
    const start = at + size[0].length;
    at = start + Number(size[1]) + 2;
    if (text.length < at) return null;
    words.push(text.slice(start, at - 2));
  }
  return { words, whole: text.slice(0, at) };
}
