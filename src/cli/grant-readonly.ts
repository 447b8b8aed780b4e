import { BUILT_IN_TABLES } from '../sources/tables.ts';
import { grantImpersonal } from '../store/reports/impersonal-role.ts';
import { type Granted, grantReadonly as grant } from '../store/reports/readonly-role.ts';
import { type CommandProcess, runOnDatabase, UsageError } from './command.ts';

/** Lets a role read the mirror and the reports, or what of them is not personal. Doing it twice changes nothing. */
export async function grantReadonly(
  role: string,
  { json, withoutPersonalData = false }: { readonly json?: boolean; readonly withoutPersonalData?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json, proc }, async ({ prisma }, { printResult }) => {
    const granted = withoutPersonalData
      ? await grantImpersonal(prisma, role, BUILT_IN_TABLES)
      : { ...(await grant(prisma, role)), open: [] };
    const { outcome, hidden, unreadable, closed, open } = granted;
    if (outcome !== 'granted') throw new UsageError(REFUSED[outcome](role, open));
    const may = withoutPersonalData
      ? 'read the columns of tiledesk, tilkee, reporting and sync that hold no personal data, and no others; it may write nothing'
      : 'read the schemas reporting, tiledesk and tilkee, and sync.status; it may write nothing';
    const warnings = warningsOf(role, granted);
    const document = { role, outcome, personal_data: !withoutPersonalData, hidden, unreadable };
    printResult({ ...document, can_login: closed !== 'no_login', closed }, () => [
      warnings.length === 0 ? `${role} may now ${may}.` : `${role} was allowed to ${may}. But:`,
      ...warnings,
    ]);
  });
}

const REFUSED: Readonly<
  Record<'no_such_role' | 'may_write' | 'reads_more', (role: string, open: readonly string[]) => string>
> = {
  no_such_role: (role) => `There is no role ${role}. Create it first: create role "${role}" login password '...'`,
  may_write: (role) => `${role} may write to the mirror already, as its owner or by a grant; give a role of its own`,
  reads_more: (role, open) =>
    `${role} reads personal data by another grant (to public, to a role that it is a member of, or by another user), in ${open.join(', ')}; nothing was changed. Take that grant back first, or give a role of its own`,
};

const CLOSED: Readonly<Record<NonNullable<Granted['closed']>, (role: string) => string>> = {
  no_login: (role) => `${role} cannot log in: alter role "${role}" login, or grant it to a role that can.`,
  no_connect: (role) => `${role} may not connect to this database: grant connect on database <name> to "${role}"`,
  expired: (role) => `the password of ${role} has expired: alter role "${role}" valid until 'infinity'`,
};

/** What keeps the role from seeing rows, although it was granted what there is to grant. */
function warningsOf(role: string, { hidden, unreadable, closed }: Omit<Granted, 'outcome'>): string[] {
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
