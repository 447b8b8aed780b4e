import { createHash } from 'node:crypto';
import type { Upstream } from '../../http/upstream.ts';
import type { Connection, Privacy, Stream } from '../../stream.ts';
import { openOnce } from '../session.ts';
import { createActivitiesStream } from './activities.ts';
import { createTiledeskApi } from './api.ts';
import { createLeadsStream } from './leads.ts';
import { createMessagesStream } from './messages.ts';
import type { TiledeskStreamParts } from './parts.ts';
import { createRequestsStream } from './requests.ts';
import { SHORT_LISTS } from './short-lists.ts';
import type { Credentials, SignIn } from './sign-in.ts';

export { fetchOwnProjects, type OwnProject } from './own-projects.ts';
export { createTiledeskSignIn, type KeptSession } from './sign-in.ts';

/** The streams by their names in settings, in the order of a sync by hand. */
const STREAMS = {
  leads: createLeadsStream,
  requests: createRequestsStream,
  ...SHORT_LISTS,
  // Behind requests, which it follows.
  messages: createMessagesStream,
  activities: createActivitiesStream,
} satisfies Record<string, (parts: TiledeskStreamParts) => Stream>;

export type TiledeskStreamName = keyof typeof STREAMS;

const STREAM_NAMES = Object.keys(STREAMS) as TiledeskStreamName[];

interface TiledeskSettings {
  readonly id: string;
  readonly baseUrl: string;
  readonly projectId: string;
  readonly auth: Credentials;
  readonly streams: readonly TiledeskStreamName[];
  readonly pageSize: number;
  readonly maxPageSize: number;
  readonly fullSyncKey: 'id' | 'created_at';
  readonly allowCustomRole: boolean;
}

interface TiledeskParts {
  readonly settings: TiledeskSettings;
  readonly upstream: Upstream;
  /** Shared by the connections of one credential. */
  readonly signIn: SignIn;
  readonly privacy: Privacy;
}

/** Server and account in one name without a secret: connections with the same name share budget and sign-in. */
export function tiledeskCredential({ baseUrl, auth }: Pick<TiledeskSettings, 'baseUrl' | 'auth'>): string {
  const account = auth.kind === 'token' ? `token ${auth.token}` : auth.email.toLowerCase();
  const { host } = new URL(baseUrl);
  return `tiledesk:${host}:${createHash('sha256').update(account).digest('hex').slice(0, 16)}`;
}

export function createTiledeskConnection({ settings, upstream, signIn, privacy }: TiledeskParts): Connection {
  const { baseUrl, projectId, allowCustomRole, pageSize, maxPageSize, fullSyncKey } = settings;
  const api = createTiledeskApi({ baseUrl, projectId, allowCustomRole, signIn, upstream });
  return {
    id: settings.id,
    source: 'tiledesk',
    credential: tiledeskCredential(settings),
    streams: STREAM_NAMES.filter((name) => settings.streams.includes(name)).map((name) =>
      STREAMS[name]({ api, pageSize, maxPageSize, fullSyncKey, privacy }),
    ),
    retryRefused: signIn.retryRefused,
    fetchName: api.fetchName,
    open: openOnce(signIn, api.verify),
  };
}
