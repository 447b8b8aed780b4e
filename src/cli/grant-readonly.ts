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
      const { outcome, hidden, canLogin } = await grant(database.prisma, role);
      if (outcome === 'no_such_role') {
        throw new UsageError(`There is no role ${role}. Create it first: create role "${role}" login password '...'`);
      }
      if (outcome === 'may_write') {
        throw new UsageError(
          `${role} may write to the mirror already, as its owner or by a grant; give a role of its own`,
        );
      }
      if (options.json) printJson({ role, outcome, hidden, can_login: canLogin });
      else
        print(
          `${role} may now read the schemas reporting, tiledesk and tilkee, and sync.status; it may write nothing.`,
        );
      if (!options.json) for (const warning of warningsOf(role, hidden, canLogin)) print(warning);
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}

/** What keeps the role from seeing rows, although it may read. */
function warningsOf(role: string, hidden: readonly string[], canLogin: boolean): string[] {
  return [
    hidden.length === 0
      ? []
      : `Row-level security hides rows of ${hidden.join(', ')} from ${role}. Add a policy: create policy leadmirror_read on <table> for select to "${role}" using (true)`,
    canLogin ? [] : `${role} cannot log in: alter role "${role}" login, or grant it to a role that can.`,
  ].flat();
}
