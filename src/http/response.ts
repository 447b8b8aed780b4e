import { counted } from '../counted.ts';
import { TransientError } from '../errors.ts';
import type { HttpResponse } from './client.ts';
import { isTransientStatus } from './retry.ts';
import { parseRetryAfter } from './retry-after.ts';
import { hostAndPort, redactedPath } from './secure-url.ts';
import type { RequestOptions, UpstreamRequest, UpstreamResponse } from './upstream.ts';

export const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/** Reads an answer's body. @throws TransientError for what may be better next time */
export function interpret(
  response: HttpResponse,
  { method, url }: UpstreamRequest,
  options: Pick<RequestOptions, 'expectJson' | 'isOwnRefusal'> & {
    readonly nowMs: number;
    readonly usedUpForMs: number | null;
  },
): UpstreamResponse {
  const { text, ...answer } = response;
  const { status, headers, serverTime } = answer;
  const { length } = text;
  const unavailable = (what: string, ifUntoldMs: number | null = null) => {
    const retryAfterMs = parseRetryAfter(headers['retry-after'], options.nowMs, serverTime) ?? ifUntoldMs;
    return new TransientError('upstream_unavailable', `${where()} with status ${status}${what}`, {
      status,
      retryAfterMs,
    });
  };
  const where = () => `${hostAndPort(new URL(url))} answered ${method} ${redactedPath(url)}`;
  // For a refused request with nothing left, the reset gives the time as well as Retry-After.
  if (isTransientStatus(status)) throw unavailable('', status === 429 ? options.usedUpForMs : null);
  if (!isSuccess(status)) {
    const refusal = { ...answer, length, body: parseJson(text)?.value ?? text };
    if (options.isOwnRefusal?.(refusal) !== false) return refusal;
    const type = /^[\w.+-]+\/[\w.+-]+/.exec(headers['content-type'] ?? '')?.[0] ?? 'no type';
    throw unavailable(
      `, but not in the server's own form (${counted(length, 'character')}, ${type}): something in between has answered, such as a gateway, a firewall or a proxy; if it lasts, check the base URL`,
    );
  }
  if (status === 204) return { ...answer, length, body: null };
  if (options.expectJson === false) return { ...answer, length, body: text };
  const parsed = parseJson(text);
  if (parsed !== null) return { ...answer, length, body: parsed.value };
  throw new TransientError(
    'upstream_garbled',
    `${where()} with status ${status} but without JSON (${counted(length, 'character')}); it may be cut off, or a gateway's own page; check the base URL`,
    { status },
  );
}

/** Null when the text is not JSON. The parser's own message is dropped: it quotes the text. */
function parseJson(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}
