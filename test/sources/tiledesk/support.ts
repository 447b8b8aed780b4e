import { readFileSync } from 'node:fs';
import { createTiledeskSandbox, type TiledeskSandbox, type TiledeskSandboxOptions } from '../../../sandbox/tiledesk.ts';
import { systemClock } from '../../../src/clock.ts';
import { createLocalBudget } from '../../../src/http/budget.ts';
import { HttpClient } from '../../../src/http/client.ts';
import { createRefusalGuard } from '../../../src/http/refusal-guard.ts';
import { createUpstream } from '../../../src/http/upstream.ts';
import { createTiledeskApi, type TiledeskApi } from '../../../src/sources/tiledesk/api.ts';
import { createTiledeskConnection } from '../../../src/sources/tiledesk/index.ts';
import { type Credentials, createTiledeskSignIn, type KeptSession } from '../../../src/sources/tiledesk/sign-in.ts';
import { createMemoryVault, type Vault } from '../../../src/sources/vault.ts';
import type {
  Capabilities,
  Connection,
  FetchOptions,
  FollowedStream,
  List,
  MirrorPosition,
  Pass,
  Stream,
} from '../../../src/stream.ts';
import { unheardLogger } from '../../helpers/unheard-logger.ts';

export type Json = Record<string, unknown>;

export const NAMES = [
  'leads',
  'requests',
  'departments',
  'project_users',
  'bots',
  'groups',
  'tags',
  'messages',
  'activities',
] as const;
export type Name = (typeof NAMES)[number];

export interface Reached {
  readonly api: TiledeskApi;
  readonly connection: Connection;
  stream(name: Name): Stream;
}

export interface Account {
  readonly auth?: Credentials;
  readonly baseUrl?: string;
  readonly projectId?: string;
  readonly allowCustomRole?: boolean;
  readonly storeVisitorPii?: boolean;
  readonly pageSize?: number;
  /** Shared with other clients; else a new one. */
  readonly vault?: Vault<KeptSession>;
}

export interface Upstream {
  readonly sandbox: TiledeskSandbox;
  readonly url: string;
  /** A client of its own, with its own session. */
  reach(account?: Account): Reached;
  /** How often each list or action was asked for since the log was cleared. */
  asked(): Record<string, number>;
  close(): Promise<void>;
}

export const fetchOptions = (): FetchOptions => ({
  signal: new AbortController().signal,
  maxWaitMs: 1000,
  onRequest: () => {},
});

/** A simulated Tiledesk, and accounts on it through the real client. */
export async function setupUpstream(options: TiledeskSandboxOptions = {}): Promise<Upstream> {
  const sandbox = createTiledeskSandbox({
    leads: 45,
    requests: 65,
    activities: true,
    now: Date.now() - 3_600_000,
    ...options,
  });
  const { url } = await sandbox.listen();
  const client = new HttpClient({ timeoutMs: 5000 });
  return {
    sandbox,
    url,
    reach(account = {}) {
      const { baseUrl = url, projectId = sandbox.projectId, allowCustomRole = false, pageSize = 10 } = account;
      const auth = account.auth ?? { kind: 'jwt', email: sandbox.email, password: sandbox.password };
      const privacy = { storeVisitorPii: account.storeVisitorPii ?? false, storeLinks: false };
      const upstream = createUpstream({
        client,
        budget: createLocalBudget(1_000_000, systemClock),
        clock: systemClock,
        logger: unheardLogger(),
        attempts: 3,
        maxTotalMs: 3000,
        random: () => 0,
      });
      const signIn = createTiledeskSignIn({
        settings: { baseUrl, auth },
        upstream,
        vault: account.vault ?? createMemoryVault(),
        guard: createRefusalGuard(null),
      });
      const connection = createTiledeskConnection({
        settings: {
          id: `tiledesk:${projectId}`,
          baseUrl,
          projectId,
          auth,
          streams: NAMES,
          pageSize,
          maxPageSize: pageSize,
          fullSyncKey: 'id',
          allowCustomRole,
        },
        upstream,
        signIn,
        privacy,
      });
      return {
        api: createTiledeskApi({ baseUrl, projectId, allowCustomRole, signIn, upstream }),
        connection,
        stream(name) {
          const found = connection.streams.find((stream) => stream.name === `tiledesk.${name}`);
          if (found === undefined) throw new Error(`no stream ${name}`);
          return found;
        },
      };
    },
    asked() {
      const counts: Record<string, number> = {};
      for (const { list } of sandbox.log) counts[list] = (counts[list] ?? 0) + 1;
      return counts;
    },
    async close() {
      await client.close();
      await sandbox.close();
    },
  };
}

export interface Planned {
  readonly lists: readonly List[];
  /** What the stream found out about its server. */
  readonly learnt: Capabilities;
}

/** The sandbox's own requests, as if they had been mirrored in the order of their last change. */
const followed = ({ data }: TiledeskSandbox): FollowedStream => ({
  settledAt: async () => Date.now(),
  async read({ behind, limit }) {
    const rows = [...data.requests.values()].map(({ _id, request_id, updatedAt }) => ({
      position: { at: Date.parse(updatedAt ?? ''), id: _id },
      isDeleted: false,
      values: { request_id },
    }));
    const order = (a: MirrorPosition, b: MirrorPosition) => a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
    rows.sort((a, b) => order(a.position, b.position));
    return rows.filter(({ position }) => behind === null || order(position, behind) > 0).slice(0, limit);
  },
});

/** `mirrored`: what streams that follow another one find in the mirror; without, nothing. */
export async function plan(
  stream: Stream,
  pass: Pass,
  capabilities: Capabilities = {},
  mirrored?: TiledeskSandbox,
): Promise<Planned> {
  let learnt: Capabilities = {};
  const lists = await stream.planLists({
    pass,
    capabilities,
    learn: async (facts) => {
      learnt = { ...learnt, ...facts };
    },
    stopBefore: () => null,
    watermark: () => null,
    mirroredIds: async () => null,
    follow: async () => (mirrored === undefined ? null : followed(mirrored)),
    ownIds: async () => [],
    notice: () => {},
    fetch: fetchOptions(),
  });
  return { lists, learnt };
}

const sample = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/tiledesk/${file}.json`, import.meta.url), 'utf8'));

const FIXTURES: Record<Name, readonly string[]> = {
  leads: ['leads-default', 'leads-status-1000', 'leads-all-statuses-by-id-page0', 'leads-all-statuses-by-id-page1'],
  requests: [
    'requests-default-populated',
    'requests-all-no-populate-by-id-page0',
    'requests-all-no-populate-by-id-page1',
    'requests-updatedAt-desc',
  ],
  departments: ['departments-allstatus'],
  project_users: ['project_users'],
  bots: ['bots'],
  groups: ['groups'],
  tags: ['tags'],
  messages: ['request-messages'],
  activities: ['activities'],
};

/** Captured records of a stream. */
export function fixtures(name: Name): readonly Json[] {
  return FIXTURES[name].flatMap((file) => {
    const body = sample(file) as Json | Json[];
    return Array.isArray(body) ? body : (body[name] as Json[]);
  });
}
