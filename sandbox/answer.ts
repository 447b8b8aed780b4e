import type { IncomingHttpHeaders } from 'node:http';

/** What a rule, a hook or a test sees of a call. */
export interface CallInfo {
  /** Which list or action: `leads`, `requests`, `lead`, `signin`, ... */
  readonly list: string;
  /** How many calls of this list there were, this one included. */
  readonly nth: number;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface AnswerInfo extends CallInfo {
  readonly status: number;
  readonly ids: readonly string[];
}

export interface Call extends CallInfo {
  readonly at: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type: 'json' | 'text' | 'html';
  readonly headers?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number;
}

/** `hang`: the connection stays open. `reset`: it ends without an answer. */
export type SandboxReply = Answer | 'hang' | 'reset';

export const json = (value: unknown, status = 200): Answer => ({ status, body: JSON.stringify(value), type: 'json' });

/** Passport's refusal: not JSON. */
export const unauthorized: Answer = {
  status: 401,
  body: 'Unauthorized',
  type: 'text',
  headers: { 'WWW-Authenticate': 'Basic realm="Users"' },
};

/** The fields of a form or of a JSON object, by content type. @throws SyntaxError */
export function readBody(call: Call): Record<string, unknown> {
  const type = call.headers['content-type'] ?? '';
  if (type.includes('application/x-www-form-urlencoded')) return Object.fromEntries(new URLSearchParams(call.body));
  if (!type.includes('json') || call.body === '') return {};
  const value: unknown = JSON.parse(call.body);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
