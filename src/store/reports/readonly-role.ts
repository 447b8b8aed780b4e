import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import { quoteName } from '../mirror/table-sql.ts';

/** Everything that people may read; tables that a later version adds to these schemas are readable too. */
const OPEN_SCHEMAS = ['reporting', 'tiledesk', 'tilkee'] as const;
/** The tables that show how fresh the mirror is. Secrets, cursors and quarantined texts stay closed. */
const OPEN_SYNC = ['status', 'runs', 'verifications', 'schema_drift'] as const;

export interface Granted {
  readonly outcome: 'granted' | 'no_such_role' | 'may_write';
  /** Tables that the role may read, and whose rows row-level security hides from it, as no policy shows it all of them. */
  readonly hidden: readonly string[];
  /** What the role still may not read: this user owns it not, and may not grant it. */
  readonly unreadable: readonly string[];
  /** Why the role cannot begin a session; null when it can. */
  readonly closed: 'no_login' | 'no_connect' | 'expired' | null;
}

/**
 * Lets a role read, and nothing else. `no_such_role`: it has to be created first. `may_write`: it is a superuser, owns the mirror or was given more by
 * another program, so that it would not be read-only; nothing is changed then. What the role can really do is asked afterwards.
 */
export async function grantReadonly(prisma: PrismaClient, role: string): Promise<Granted> {
  return prisma.$transaction(async (tx) => {
    const found = await findRole(tx, role);
    const nothing = { hidden: [], unreadable: [], closed: null };
    if (found === null) return { outcome: 'no_such_role', ...nothing };
    if (found.may_write) return { outcome: 'may_write', ...nothing };
    const name = quoteName(role);
    const schemas = OPEN_SCHEMAS.join(', ');
    await tx.$executeRawUnsafe(`grant usage on schema ${schemas}, sync to ${name};
      grant select on all tables in schema ${schemas} to ${name};
      alter default privileges in schema ${schemas} grant select on tables to ${name};
      grant select on ${OPEN_SYNC.map((table) => `sync.${table}`).join(', ')} to ${name}`);
    return { outcome: 'granted', ...(await readAccess(tx, role, null)), closed: found.closed };
  });
}

interface Role {
  readonly may_write: boolean;
  readonly closed: Granted['closed'];
}

/** Null: there is none. */
export async function findRole(tx: Prisma.TransactionClient, role: string): Promise<Role | null> {
  const [found] = await tx.$queryRaw<Role[]>`
    select bool_or(has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) as may_write,
      case when not r.rolcanlogin then 'no_login' when not has_database_privilege(r.oid, current_database(), 'CONNECT') then 'no_connect'
        when r.rolvaliduntil < now() then 'expired' end as closed
    from pg_roles r cross join pg_class c join pg_namespace n on n.oid = c.relnamespace
    where r.rolname = ${role} and c.relkind = 'r' and n.nspname in ('reporting', 'tiledesk', 'tilkee', 'sync')
    group by r.oid, r.rolcanlogin, r.rolvaliduntil`;
  return found ?? null;
}

/** What the role may do with these columns (`schema.table.column`); null: with all that `grantReadonly` opens. */
export async function readAccess(
  tx: Prisma.TransactionClient,
  role: string,
  columns: readonly string[] | null,
): Promise<Pick<Granted, 'hidden' | 'unreadable'>> {
  const rows = await tx.$queryRaw<{ name: string; is_readable: boolean; is_hidden: boolean }[]>`
    select n.nspname || '.' || c.relname as name,
      has_schema_privilege(r.oid, n.oid, 'USAGE') and bool_and(has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')) as is_readable,
      c.relrowsecurity and not r.rolbypassrls and not exists (
        select from pg_policy p where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*') and pg_get_expr(p.polqual, p.polrelid) = 'true'
          and exists (select from unnest(p.polroles) as given (oid) where given.oid = 0 or pg_has_role(r.oid, given.oid, 'USAGE'))) as is_hidden
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_roles r on r.rolname = ${role}
    where c.relkind in ('r', 'p', 'v', 'm') and case when ${columns !== null}
      then n.nspname || '.' || c.relname || '.' || a.attname = any(${columns ?? []})
      else n.nspname::text = any(${[...OPEN_SCHEMAS]}) or n.nspname = 'sync' and c.relname::text = any(${[...OPEN_SYNC]}) end
    group by r.oid, r.rolbypassrls, n.oid, n.nspname, c.oid, c.relname, c.relrowsecurity order by name`;
  const names = (those: typeof rows) => those.map(({ name }) => name);
  return {
    hidden: names(rows.filter((row) => row.is_readable && row.is_hidden)),
    unreadable: names(rows.filter((row) => !row.is_readable)),
  };
}
