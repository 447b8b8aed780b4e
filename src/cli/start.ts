import { ROLES, type Role, runDaemon } from '../../workers/run-daemon.ts';
import { createKeptAccounts } from '../app/kept-accounts.ts';
import type { LoadStored } from '../app/stored-connections.ts';
import { createApp } from '../app.ts';
import { loadConfig } from '../config.ts';
import { stateOf } from '../store/engine/connections.ts';
import { type CommandProcess, runCommand, sourcesOf, UsageError } from './command.ts';
import { followConfig, noteStamp, ReloadRequests } from './reload.ts';

export async function start(options: { readonly role: string }, proc: CommandProcess): Promise<void> {
  const files = new Map<string, string>();
  const onFile = (path: string) => noteStamp(files, path);
  // Accounts may all be in the database, and the last one may be removed there.
  const requireConnections = 'without_key';
  await runCommand({ proc, isDaemon: true, onFile, requireConnections }, async ({ config, stored, logger, signal }) => {
    let state = '';
    const load: LoadStored = (entries) => {
      state = stateOf(entries);
      return stored(entries);
    };
    const roles = parseRoles(options.role);
    const requests = new ReloadRequests(proc);
    const app = await createApp(config, { logger, signal, waitForDatabase: true, stored: load });
    try {
      // Files are noted by the reload only: one that changed is not to be taken for one that was read.
      const fresh: LoadStored = (entries) =>
        loadConfig(sourcesOf(proc), { stored: entries, requireConnections: false });
      const accounts = createKeptAccounts({
        ...{ database: app.database, secretKey: config.secretKey, load: fresh, logger },
        keptIds: () => app.config.stored,
        onChange: () => requests.ask(),
      });
      await runDaemon(app, {
        roles,
        signal,
        accounts,
        onRunning: () => void followConfig({ app, logger, signal, files, state, requests, sources: sourcesOf(proc) }),
      });
    } finally {
      await app.close();
      requests.close();
    }
  });
}

function parseRoles(text: string): Role[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !ROLES.includes(name as Role));
  if (unknown.length > 0) throw new UsageError(`There is no role ${unknown.join(', ')}. Roles: ${ROLES.join(', ')}`);
  return ROLES.filter((role) => names.includes(role));
}
