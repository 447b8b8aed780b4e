import { type Config, type ConnectionConfig, isSameAccount } from '../config.ts';
import { createRefusalGuard } from '../http/refusal-guard.ts';
import type { Upstream } from '../http/upstream.ts';
import { createTiledeskConnection, createTiledeskSignIn, tiledeskCredential } from '../sources/tiledesk/index.ts';
import { createTilkeeConnection, createTilkeeSignIn, tilkeeCredential, vaultName } from '../sources/tilkee/index.ts';
import type { Vault } from '../sources/vault.ts';
import type { Connection, RefusalStore } from '../stream.ts';
import { createUpstreams, type UpstreamParts } from './upstreams.ts';

interface ConnectParts extends UpstreamParts {
  readonly vaultOf: VaultOf;
  /** Where a refused credential is remembered for all processes; without it, in this process only. */
  readonly refusals?: (credential: { readonly credential: string; readonly secret: string }) => RefusalStore;
}

export type VaultOf = <T>(name: string) => Vault<T>;

interface Made {
  readonly settings: ConnectionConfig;
  readonly connection: Connection;
  /** Of its credential, which another account's settings may have decided. */
  readonly limits: RequestLimits;
  /** What it shares with others. */
  readonly keys: readonly string[];
}

type RequestLimits = Pick<ConnectionConfig, 'requestsPerMinute' | 'requestsPerDay'>;

/**
 * Makes the connections of a configuration, and of the next one: an account that stays as it is keeps its objects.
 * Accounts with the same credential share its budget and its sign-in.
 */
export function createConnector(
  { http, privacy }: Pick<Config, 'http' | 'privacy'>,
  parts: ConnectParts,
): (connections: readonly ConnectionConfig[]) => readonly Connection[] {
  const { logger, clock, vaultOf } = parts;
  const upstreamOf = createUpstreams(http, parts);
  const upstreams = new Shared<Upstream>();
  const tiledeskSignIns = new Shared<ReturnType<typeof createTiledeskSignIn>>();
  const tilkeeSignIns = new Shared<ReturnType<typeof createTilkeeSignIn>>();
  let made: ReadonlyMap<string, Made> = new Map();

  function make(settings: ConnectionConfig, credential: string, limits: RequestLimits): Made {
    const { requestsPerMinute, requestsPerDay } = limits;
    const upstreamKey = JSON.stringify([credential, requestsPerMinute, requestsPerDay]);
    const upstream = upstreams.of(upstreamKey, () =>
      upstreamOf({ source: settings.source, credential, requestsPerMinute, requestsPerDay }),
    );
    const guard = () =>
      createRefusalGuard(parts.refusals?.({ credential, secret: JSON.stringify(settings.auth) }) ?? null);
    // A sign-in belongs to all that it is made with: another password for the same e-mail address signs in anew.
    const signInKey = JSON.stringify(['sign-in', credential, ...signInSettings(settings)]);
    const keys = [upstreamKey, signInKey];
    if (settings.source === 'tilkee') {
      const signIn = tilkeeSignIns.of(signInKey, () =>
        createTilkeeSignIn({ settings, upstream, vault: vaultOf(vaultName(settings)), clock, logger, guard: guard() }),
      );
      const connection = createTilkeeConnection({ settings, upstream, signIn, privacy });
      return { settings, connection, limits, keys };
    }
    const signIn = tiledeskSignIns.of(signInKey, () =>
      createTiledeskSignIn({ settings, upstream, vault: vaultOf(credential), guard: guard() }),
    );
    const connection = createTiledeskConnection({ settings, upstream, signIn, privacy });
    return { settings, connection, limits, keys };
  }

  return (connections) => {
    // Where accounts of one credential are configured with several limits, the first one counts.
    const limits = new Map<string, RequestLimits>();
    const next = new Map<string, Made>();
    for (const settings of connections) {
      const credential = credentialOf(settings);
      const own = limits.get(credential) ?? settings;
      limits.set(credential, own);
      const known = made.get(settings.id);
      const isSame =
        known !== undefined &&
        known.limits.requestsPerMinute === own.requestsPerMinute &&
        known.limits.requestsPerDay === own.requestsPerDay &&
        isSameAccount(known.settings, settings);
      next.set(settings.id, isSame ? known : make(settings, credential, own));
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
