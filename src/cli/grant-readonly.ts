import { type Granted, grantReadonly as grant } from '../store/reports/readonly-role.ts';
import { type CommandProcess, runOnDatabase, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';

/** Lets a database role read the mirror and the reports. Doing it twice changes nothing. */
export async function grantReadonly(
  role: string,
  { json }: { readonly json?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json, proc }, async ({ prisma }, { printResult }) => {
    const granted = await grant(prisma, role);
    const { outcome, hidden, unreadable, closed } = granted;
    if (outcome === 'no_such_role') {
      throw new UsageError(`There is no role ${role}. Create it first: create role "${role}" login password '...'`);
    }
    if (outcome === 'may_write') {
      throw new UsageError(
        `${role} may write to the mirror already, as its owner or by a grant; give a role of its own`,
      );
    }
    const may = 'read the schemas reporting, tiledesk and tilkee, and sync.status; it may write nothing';
    const warnings = warningsOf(role, granted);
    printResult(json, { role, outcome, hidden, unreadable, can_login: closed !== 'no_login', closed }, () => [
      warnings.length === 0 ? `${role} may now ${may}.` : `${role} was allowed to ${may}. But:`,
      ...warnings,
    ]);
    return EXIT.done;
  });
}

const CLOSED: Readonly<Record<NonNullable<Granted['closed']>, (role: string) => string>> = {
  no_login: (role) => `${role} cannot log in: alter role "${role}" login, or grant it to a role that can.`,
  no_connect: (role) => `${role} may not connect to this database: grant connect on database <name> to "${role}"`,
  expired: (role) => `the password of ${role} has expired: alter role "${role}" valid until 'infinity'`,
};

/** What keeps the role from seeing rows, although it was granted what there is to grant. */
function warningsOf(role: string, { hidden, unreadable, closed }: Granted): string[] {
  const warnings: string[] = [];
  if (unreadable.length > 0) {
    warnings.push(
      `${role} may not read ${unreadable.join(', ')}: the user of DATABASE_URL does not own them. Run this as their owner.`,
    );
  }
  if (hidden.length > 0) {
    warnings.push(
      `row-level security hides rows of ${hidden.join(', ')} from ${role}. Add a policy: create policy leadmirror_read on <table> for select to "${role}" using (true)`,
    );
  }
  if (closed !== null) warnings.push(CLOSED[closed](role));
  return warnings;
}
