import { openMirrorDatabase } from '../app.ts';
import { grantReadonly as grant } from '../store/readonly-role.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';

/** Lets a database role read the mirror and the reports. Doing it twice changes nothing. */
export async function grantReadonly(role: string, options: { readonly json?: boolean }): Promise<void> {
  await runCommand({ json: options.json, requireConnections: false }, async ({ config, logger, signal }) => {
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const outcome = await grant(database.prisma, role);
      if (outcome === 'no_such_role') {
        throw new UsageError(`There is no role ${role}. Create it first: create role "${role}" login password '...'`);
      }
      if (outcome === 'may_write') {
        throw new UsageError(
          `${role} may write to the mirror already, as its owner or by a grant; give a role of its own`,
        );
      }
      if (options.json) printJson({ role, outcome });
      else
        print(
          `${role} may now read the schemas reporting, tiledesk and tilkee, and sync.status; it may write nothing.`,
        );
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}
