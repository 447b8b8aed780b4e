import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isSameSecret } from '../ops/guard/sessions.ts';
import { UsageError } from './command.ts';

export type Reply =
  | { readonly kind: 'code'; readonly code: string }
  | { readonly kind: 'declined' }
  /** Of another attempt, or of another program. */
  | { readonly kind: 'foreign' };

const CODE = /^[\x21-\x7e]{1,2048}$/;

/** Returns what a query answers to this sign-in. A repeated parameter or a missing code makes it foreign. */
export function readReply(query: URLSearchParams, state: string): Reply {
  const [given, ...others] = query.getAll('state');
  if (given === undefined || others.length > 0 || !isSameSecret(given, state)) return { kind: 'foreign' };
  const codes = query.getAll('code').filter((code) => code !== '');
  if (codes.length === 0) return { kind: 'declined' };
  const [code = ''] = codes;
  return codes.length === 1 && CODE.test(code) ? { kind: 'code', code } : { kind: 'foreign' };
}

/** Reads a whole address, its query, or the code alone. Null: none of them. */
export function readPasted(text: string, state: string): Reply | null {
  if (/^https?:/i.test(text)) return URL.canParse(text) ? readReply(new URL(text).searchParams, state) : null;
  if (/(^|[?&])(code|state)=/.test(text)) return readReply(new URLSearchParams(text.replace(/^.*\?/, '')), state);
  return CODE.test(text) && text.length >= 4 ? { kind: 'code', code: text } : null;
}

export const FOREIGN = 'The answer does not belong to this sign-in; open the address above, in one window only.';

const ANSWERS: Readonly<Record<Reply['kind'] | 'elsewhere' | 'method' | 'late', readonly [number, string]>> = {
  code: [200, 'Tilkee has answered. leadmirror goes on in the terminal; this page can be closed.'],
  declined: [200, 'Tilkee did not allow the sign-in. The terminal shows why; this page can be closed.'],
  foreign: [400, FOREIGN],
  elsewhere: [404, 'There is nothing here.'],
  method: [405, 'Only GET is answered here.'],
  late: [410, 'This sign-in has been answered already; this page can be closed.'],
};

const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  connection: 'close',
};

const MAX_CONNECTIONS = 50;
const REQUEST_TIMEOUT_MS = 5_000;

/** Listens where the browser is sent back to. @throws UsageError when that is not possible */
export async function listen({ hostname, port }: URL): Promise<Server> {
  const server = createServer({
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
  });
  server.maxConnections = MAX_CONNECTIONS;
  // Of connections on which no request begins.
  server.timeout = REQUEST_TIMEOUT_MS;
  server.listen(Number(port || 80), hostname.replace(/^\[|\]$/g, ''));
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw error;
    throw new UsageError(
      `Port ${port || 80} of ${hostname} cannot be used (${code}); end what uses it, choose another one with --redirect-uri (registered with Tilkee too), or paste the code by hand with --no-listen`,
    );
  }
  return server;
}

/** Answers every request, and calls with each reply; of several that belong to this sign-in with the first. */
export function answerBrowser(
  server: Server,
  { path, state }: { readonly path: string; readonly state: string },
  onReply: (reply: Reply) => void,
): void {
  let isAnswered = false;
  server.on('request', (request, response) => {
    const kind = kindOf(request);
    response.on('error', () => {});
    if (typeof kind === 'string') return send(response, kind);
    // Whether the browser waited for the page or not, it has answered.
    response.once('close', () => onReply(kind));
    if (kind.kind !== 'foreign') isAnswered = true;
    send(response, kind.kind);
  });
  // One connection that cannot be taken is not the end of the sign-in.
  server.on('error', () => {});

  /** The request target as it came: `//` and the like are no addresses. */
  function kindOf({ method, url = '/' }: IncomingMessage): Reply | 'elsewhere' | 'method' | 'late' {
    const [given = '', ...query] = url.split('?');
    if (given !== path) return 'elsewhere';
    if (method !== 'GET') return 'method';
    const reply = readReply(new URLSearchParams(query.join('?')), state);
    return isAnswered && reply.kind !== 'foreign' ? 'late' : reply;
  }
}

function send(response: ServerResponse, kind: keyof typeof ANSWERS): void {
  const [status, text] = ANSWERS[kind];
  response.writeHead(status, PAGE_HEADERS).end(page(text));
}

const page = (text: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>leadmirror</title>
<style>body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto; padding: 0 1rem }</style></head>
<body><h1>leadmirror</h1><p>${text}</p></body>
</html>
`;
