import type { PrismaClient } from '../generated/prisma/client.ts';
import { quoteName } from './upsert-sql.ts';

/** Everything that people may read; tables that a later version adds to these schemas are readable too. */
const OPEN_SCHEMAS = ['reporting', 'tiledesk', 'tilkee'] as const;
/** Of the book-keeping what says how fresh things are. Secrets, cursors and quarantined texts stay closed. */
const OPEN_SYNC = ['status', 'runs', 'proofs', 'schema_drift'] as const;

export interface Granted {
  readonly outcome: 'granted' | 'no_such_role' | 'may_write';
  /** Tables that the role may read, and whose rows row-level security hides from it, as far as its policies do not show them. */
  readonly hidden: readonly string[];
  /** The role exists, and cannot log in. */
  readonly canLogin: boolean;
}

/**
 * Lets a role read, and nothing else. `no_such_role`: it has to be created first. `may_write`: it is a superuser, owns the mirror or was given more by
 * somebody else, so that a promise of read-only would not be kept; nothing is changed then.
 */
export async function grantReadonly(prisma: PrismaClient, role: string): Promise<Granted> {
  return prisma.$transaction(async (tx) => {
    const [found] = await tx.$queryRaw<{ may_write: boolean; can_login: boolean }[]>`
      select bool_or(has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) as may_write, r.rolcanlogin as can_login
      from pg_roles r cross join pg_class c join pg_namespace n on n.oid = c.relnamespace
      where r.rolname = ${role} and c.relkind = 'r' and n.nspname in ('reporting', 'tiledesk', 'tilkee', 'sync')
      group by r.oid, r.rolcanlogin`;
    const nothing = { hidden: [], canLogin: found?.can_login ?? false };
    if (found === undefined) return { outcome: 'no_such_role', ...nothing };
    if (found.may_write) return { outcome: 'may_write', ...nothing };
    const name = quoteName(role);
    await tx.$executeRawUnsafe(`grant usage on schema ${[...OPEN_SCHEMAS, 'sync'].join(', ')} to ${name}`);
    await tx.$executeRawUnsafe(`grant select on all tables in schema ${OPEN_SCHEMAS.join(', ')} to ${name}`);
    await tx.$executeRawUnsafe(
      `alter default privileges in schema ${OPEN_SCHEMAS.join(', ')} grant select on tables to ${name}`,
    );
    await tx.$executeRawUnsafe(`grant select on ${OPEN_SYNC.map((table) => `sync.${table}`).join(', ')} to ${name}`);
    const hidden = await tx.$queryRaw<{ name: string }[]>`
      select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.rolname = ${role}
      where n.nspname in ('reporting', 'tiledesk', 'tilkee', 'sync') and c.relkind in ('r', 'p') and c.relrowsecurity
        and not r.rolbypassrls and has_table_privilege(r.oid, c.oid, 'SELECT') order by 1`;
    return { outcome: 'granted', hidden: hidden.map(({ name }) => name), canLogin: found.can_login };
  });
}
