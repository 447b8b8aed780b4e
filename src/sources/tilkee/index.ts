import type { Upstream } from '../../http/upstream.ts';
import type { Connection, Privacy, Stream } from '../../stream.ts';
import { openOnce } from '../session.ts';
import { createTilkeeApi } from './api.ts';
import { createConnexionsStream } from './connexions.ts';
import { createItemsStream } from './items.ts';
import type { TilkeeSettings, TilkeeStreamName, TilkeeStreamParts } from './parts.ts';
import { createProjectsStream } from './projects.ts';
import { type TilkeeSignIn, tilkeeCredential } from './sign-in.ts';
import { createTokensStream } from './tokens.ts';
import { createUsersStream } from './users.ts';

export type { KeptSignIn, TilkeeSettings, TokenVault } from './parts.ts';
export { createTilkeeSignIn, tilkeeCredential, vaultName } from './sign-in.ts';

/** The streams by the name that settings use; a new stream is one new file and one line here. */
const STREAMS = {
  projects: createProjectsStream,
  items: createItemsStream,
  tokens: createTokensStream,
  connexions: createConnexionsStream,
  users: createUsersStream,
} satisfies Record<TilkeeStreamName, (parts: TilkeeStreamParts) => Stream>;

interface TilkeeParts {
  readonly settings: TilkeeSettings;
  readonly upstream: Upstream;
  /** Shared by the connections of one credential. */
  readonly signIn: TilkeeSignIn;
  readonly privacy: Privacy;
}

export function createTilkeeConnection({ settings, upstream, signIn, privacy }: TilkeeParts): Connection {
  const api = createTilkeeApi({ settings, signIn, upstream });
  return {
    id: settings.id,
    source: 'tilkee',
    credential: tilkeeCredential(settings),
    streams: settings.streams.map((name) => STREAMS[name]({ api, settings, privacy })),
    retryRefused: signIn.retryRefused,
    open: openOnce(signIn, api.openAccount),
    healthChecks: [
      { name: 'V3', check: (options) => api.check('v3', options) },
      { name: 'V2', check: (options) => api.check('v2', options) },
    ],
  };
}
