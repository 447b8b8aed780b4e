import { createDatabase } from '../store/database.ts';
import { startEmbeddedPostgres } from '../store/embedded/embedded.ts';
import { adoptPreview, migrate, migrationStatus } from '../store/migrate.ts';
import { type CommandProcess, runCommand } from './command.ts';

export async function migrateCommand(
  options: { readonly status?: boolean; readonly fromPreview?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runCommand({ proc, requireConnections: false }, async ({ config, logger, signal, print }) => {
    const { home, databaseUrl } = config;
    const embedded = databaseUrl === null ? await startEmbeddedPostgres({ home, logger, signal }) : null;
    const url = databaseUrl ?? embedded?.url ?? '';
    const { address } = createDatabase({ url, logger });
    try {
      if (options.status) {
        const { applied, pending } = await migrationStatus({ url });
        for (const name of applied) print(`applied  ${name}`);
        for (const name of pending) print(`pending  ${name}`);
        return;
      }
      if (options.fromPreview) {
        const isTaken = await adoptPreview({ url });
        print(
          isTaken ? `${address}: taken over from a preview, with everything in it` : `${address}: no preview made it`,
        );
      }
      const names = await migrate({ url });
      print(names.length === 0 ? `${address} is up to date` : `${address}: applied ${names.join(', ')}`);
    } finally {
      await embedded?.close();
    }
  });
}
