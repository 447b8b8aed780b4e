import { privateKeysOf, SOURCES, secretKeysOf } from '../config/account-sources.ts';
import type { Mapping } from '../config/entry.ts';
import type { Logger } from '../logger.ts';
import type { CheckResult, KeptAccounts } from '../ops/parts.ts';
import { checkConnections, createAttempt } from './check-connections.ts';
import { createConnectionStore } from './connection-store.ts';
import type { MirrorDatabase } from './mirror-database.ts';
import { type LoadStored, loadWithStored } from './stored-connections.ts';

interface KeptParts {
  readonly database: MirrorDatabase;
  readonly secretKey: string | null;
  readonly load: LoadStored;
  readonly logger: Logger;
  /** Those of them that this process mirrors. */
  readonly keptIds: () => readonly string[];
  /** Called after each change, so that this process need not wait for its next look. */
  readonly onChange: () => void;
}

/** The upstream may take long to answer; a person looks at the page meanwhile. */
const CHECK_MS = 25_000;

/** What the page does with accounts: the same as the commands `connection` and `check`. */
export function createKeptAccounts({ database, secretKey, load, logger, keptIds, onChange }: KeptParts): KeptAccounts {
  const store = createConnectionStore({ database, secretKey, load });
  const noting = async <T>(change: Promise<T>): Promise<T> => {
    const result = await change;
    onChange();
    return result;
  };
  return {
    canKeep: secretKey !== null,
    forms: SOURCES.map(({ source, title, identity, anchors, settings }) => {
      const first = [...new Set(['label', identity, ...anchors])];
      return {
        ...{ source, title },
        fields: [...new Set([...first, 'id', 'enabled', ...Object.keys(settings)])],
        firstFields: first.length,
        privateFields: privateKeysOf(source),
        secretFields: secretKeysOf(source),
      };
    }),
    isKept: (id) => keptIds().includes(id),
    list: () => store.list(),
    add: (given: Mapping) => noting(store.add(given)),
    edit: (id, changes) => noting(store.edit(id, changes)),
    remove: (id) => noting(store.remove(id)),
    async check(id) {
      const config = await loadWithStored(load, database, secretKey);
      const connections = config.connections.filter((one) => one.id === id);
      const unusable = config.unusable.filter((one) => one.id === id);
      if (connections.length + unusable.length === 0) return null;
      const results: CheckResult[] = [];
      const signal = AbortSignal.timeout(CHECK_MS);
      const attempt = createAttempt((result) => results.push(result));
      await checkConnections({ ...config, connections, unusable }, { logger, signal }, database, attempt).catch(
        (error: unknown) => {
          if (!signal.aborted) throw error;
          const message = `no answer within ${CHECK_MS / 1000} seconds; \`leadmirror check\` waits longer`;
          results.push({ name: id, ok: false, detail: '', error: { code: 'timeout', message } });
        },
      );
      return results;
    },
  };
}
