/** What the routes of both APIs have in common. */
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';
import { type Answer, type Call, json } from './serve.ts';
import type { Api } from './tilkee-auth.ts';
import type { TilkeeData } from './tilkee-data.ts';
import type { TilkeeKind } from './tilkee-documents.ts';
import type { TilkeeCallName } from './tilkee-switches.ts';

export interface RouteTools {
  readonly data: TilkeeData;
  readonly faults: Faults;
  /** For the order that changes with every query. */
  readonly random: Random;
}

export interface RouteInput {
  readonly tools: RouteTools;
  readonly call: Call;
  /** The variable parts of the path, in order. */
  readonly params: readonly string[];
}

export interface TilkeeRoute {
  readonly name: TilkeeCallName;
  readonly api: Api;
  readonly method: 'GET' | 'POST';
  readonly pattern: RegExp;
  readonly reply: (input: RouteInput) => Answer;
  /** Logins: no token is asked for. */
  readonly isOpen?: boolean;
}

const messages: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  404: 'Not Found',
  410: 'Gone',
  500: 'Internal Server Error',
};

export function failure(api: Api, status: number): Answer {
  const message = messages[status] ?? `Status ${status}`;
  if (api === 'v3') return json({ detail: message }, status);
  return json({ status: message.toLowerCase(), body: { error: { message } } }, status);
}

export function answerRemoved(data: TilkeeData, kind: TilkeeKind, id: number, api: Api): Answer {
  return failure(api, data.wasRemoved(kind, id) ? data.switches.removedStatus : 404);
}
