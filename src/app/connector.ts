import type { Config, ConnectionConfig, TiledeskConnectionConfig, TilkeeConnectionConfig } from '../config.ts';
import { isSameAccount } from '../config.ts';
import { createRefusalGuard } from '../http/refusal-guard.ts';
import type { Upstream } from '../http/upstream.ts';
import {
  createTiledeskConnection,
  createTiledeskSignIn,
  type KeptSession,
  tiledeskCredential,
} from '../sources/tiledesk/index.ts';
import {
  createTilkeeConnection,
  createTilkeeSignIn,
  type TokenVault,
  tilkeeCredential,
  vaultName,
} from '../sources/tilkee/index.ts';
import type { Vault } from '../sources/vault.ts';
import type { Connection, RefusalStore } from '../stream.ts';
import { createAccountUpstream, type UpstreamParts } from './upstreams.ts';

export interface ConnectParts extends UpstreamParts {
  readonly vaults: Vaults;
  /** Where a refused credential is remembered for all processes; without it, in this process only. */
  readonly refusals?: (credential: { readonly credential: string; readonly secret: string }) => RefusalStore;
}

/** Where an account's sign-in is kept, by its name. */
export interface Vaults {
  readonly tiledesk: (name: string) => Vault<KeptSession>;
  readonly tilkee: (name: string) => TokenVault;
}

/** Makes the connections of a configuration, and of the next one again: an account that stays as it is keeps its very objects, session and all. */
export type Connector = (connections: readonly ConnectionConfig[]) => readonly Connection[];

interface Made {
  readonly settings: ConnectionConfig;
  readonly connection: Connection;
  /** Requests per minute of its credential, which another account's settings may have decided. */
  readonly limit: number;
  /** What it shares with others. */
  readonly keys: readonly string[];
}

/** Accounts that share a credential share its budget and its sign-in. */
export function createConnector({ http, privacy }: Pick<Config, 'http' | 'privacy'>, parts: ConnectParts): Connector {
  const { logger, clock } = parts;
  const upstreams = new Shared<Upstream>();
  const tiledeskSignIns = new Shared<ReturnType<typeof createTiledeskSignIn>>();
  const tilkeeSignIns = new Shared<ReturnType<typeof createTilkeeSignIn>>();
  let made: ReadonlyMap<string, Made> = new Map();

  function make(settings: ConnectionConfig, credential: string, requestsPerMinute: number): Made {
    const upstreamKey = JSON.stringify([credential, requestsPerMinute]);
    const upstream = upstreams.of(upstreamKey, () =>
      createAccountUpstream(http, parts, { source: settings.source, credential, requestsPerMinute }),
    );
    // A sign-in belongs to everything that it is made with: another password under the same e-mail address signs in anew.
    const signInKey = JSON.stringify(['sign-in', credential, ...signInSettings(settings)]);
    const connection =
      settings.source === 'tilkee'
        ? connectTilkee(settings, upstream, signInKey)
        : connectTiledesk(settings, upstream, signInKey);
    return { settings, connection, limit: requestsPerMinute, keys: [upstreamKey, signInKey] };
  }

  const guardOf = (credential: string, auth: ConnectionConfig['auth']) =>
    createRefusalGuard(parts.refusals?.({ credential, secret: JSON.stringify(auth) }) ?? null);

  function connectTiledesk(settings: TiledeskConnectionConfig, upstream: Upstream, key: string): Connection {
    const signIn = tiledeskSignIns.of(key, () =>
      createTiledeskSignIn(settings, upstream, {
        vault: parts.vaults.tiledesk(tiledeskCredential(settings)),
        guard: guardOf(tiledeskCredential(settings), settings.auth),
      }),
    );
    return createTiledeskConnection({ settings, upstream, signIn, privacy });
  }

  function connectTilkee(settings: TilkeeConnectionConfig, upstream: Upstream, key: string): Connection {
    const signIn = tilkeeSignIns.of(key, () => {
      const vault = parts.vaults.tilkee(vaultName(settings));
      const guard = guardOf(tilkeeCredential(settings), settings.auth);
      return createTilkeeSignIn({ settings, upstream, vault, clock, logger, guard });
    });
    return createTilkeeConnection({ settings, upstream, signIn, privacy });
  }

  return (connections) => {
    // Where accounts of one credential are configured with several limits, the first one counts.
    const limits = new Map<string, number>();
    const next = new Map<string, Made>();
    for (const settings of connections) {
      const credential = credentialOf(settings);
      const limit = limits.get(credential) ?? settings.requestsPerMinute;
      limits.set(credential, limit);
      const known = made.get(settings.id);
      const isSame = known !== undefined && known.limit === limit && isSameAccount(known.settings, settings);
      next.set(settings.id, isSame ? known : make(settings, credential, limit));
    }
    made = next;
    const inUse = new Set([...next.values()].flatMap(({ keys }) => keys));
    for (const each of [upstreams, tiledeskSignIns, tilkeeSignIns]) each.keepOnly(inUse);
    return [...next.values()].map(({ connection }) => connection);
  };
}

const credentialOf = (settings: ConnectionConfig): string =>
  settings.source === 'tilkee' ? tilkeeCredential(settings) : tiledeskCredential(settings);

const signInSettings = (settings: ConnectionConfig): readonly unknown[] =>
  settings.source === 'tilkee'
    ? [settings.auth, settings.authUrl, settings.authBody, settings.scope]
    : [settings.auth, settings.baseUrl];

/** One part for each key, made when it is first asked for. */
class Shared<T> {
  readonly #made = new Map<string, T>();

  of(key: string, create: () => T): T {
    const part = this.#made.get(key) ?? create();
    this.#made.set(key, part);
    return part;
  }

  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#made.keys()) if (!keys.has(key)) this.#made.delete(key);
  }
}
