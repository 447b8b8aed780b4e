import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import { quoteName } from '../mirror/table-sql.ts';

/** Everything that people may read; tables that a later version adds to these schemas are readable too. */
const OPEN_SCHEMAS = ['reporting', 'tiledesk', 'tilkee'];
/** The tables that show how fresh the mirror is. Secrets, cursors and quarantined texts stay closed. */
const OPEN_SYNC = ['status', 'runs', 'verifications', 'schema_drift'];

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
    const found = await readRole(tx, role);
    const nothing = { hidden: [], unreadable: [], closed: null };
    if (found === null) return { outcome: 'no_such_role', ...nothing };
    if (found.may_write) return { outcome: 'may_write', ...nothing };
    const name = quoteName(role);
    const schemas = OPEN_SCHEMAS.join(', ');
    await tx.$executeRawUnsafe(`grant usage on schema ${schemas}, sync to ${name};
      grant select on all tables in schema ${schemas} to ${name};
      alter default privileges in schema ${schemas} grant select on tables to ${name};
      grant select on ${OPEN_SYNC.map((table) => `sync.${table}`).join(', ')} to ${name}`);
    return { outcome: 'granted', ...accessOf((await readRole(tx, role)) ?? found, isOpen), closed: found.closed };
  });
}

function isOpen(table: string): boolean {
  const [schema = '', name = ''] = table.split('.');
  return OPEN_SCHEMAS.includes(schema) || (schema === 'sync' && OPEN_SYNC.includes(name));
}

interface Role {
  readonly may_write: boolean;
  readonly closed: Granted['closed'];
  readonly privileges: readonly Privileges[];
}

interface Privileges {
  /** `schema.table` */
  readonly name: string;
  /** Columns that the role may read, and those that it may not. */
  readonly readable: readonly string[];
  readonly closed: readonly string[];
  /** Row-level security hides rows. */
  readonly is_hidden: boolean;
}

/** A role, and what it may read of the mirror, tables of custom sources among it. Null: there is none. */
export async function readRole(tx: Prisma.TransactionClient, role: string): Promise<Role | null> {
  const [found] = await tx.$queryRaw<Role[]>`
    with mirror as (
      select c.oid, n.oid as schema, n.nspname || '.' || c.relname as name, c.relrowsecurity,
        c.relkind = 'r' and n.nspname in ('reporting', 'tiledesk', 'tilkee', 'sync') as is_written
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm') and (n.nspname in ('reporting', 'sync', 'tiledesk', 'tilkee', 'bullmq') or (
        select count(*) = 3 from pg_attribute m where m.attrelid = c.oid and m.attname in ('connection_id', 'raw', 'content_hash')))
    )
    select (select bool_or(has_table_privilege(r.oid, m.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) from mirror m where m.is_written) as may_write,
      case when not r.rolcanlogin then 'no_login' when not has_database_privilege(r.oid, current_database(), 'CONNECT') then 'no_connect'
        when r.rolvaliduntil < now() then 'expired' end as closed,
      (select json_agg(json_build_object('name', m.name, 'readable', c.readable, 'closed', c.closed,
          'is_hidden', m.relrowsecurity and not r.rolbypassrls and not exists (
            select from pg_policy p where p.polrelid = m.oid and p.polpermissive and p.polcmd in ('r', '*') and pg_get_expr(p.polqual, p.polrelid) = 'true'
              and exists (select from unnest(p.polroles) as given (oid) where given.oid = 0 or pg_has_role(r.oid, given.oid, 'USAGE')))) order by m.name)
        from mirror m cross join lateral (
          select coalesce(array_agg(a.attname) filter (where may.is_readable), '{}') as readable,
            coalesce(array_agg(a.attname) filter (where not may.is_readable), '{}') as closed
          from pg_attribute a cross join lateral (
            select has_schema_privilege(r.oid, m.schema, 'USAGE') and has_column_privilege(r.oid, m.oid, a.attnum, 'SELECT') as is_readable) may
          where a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped) c) as privileges
    from pg_roles r where r.rolname = ${role}`;
  return found ?? null;
}

/** What the role may do with the columns that it is meant to read. */
export function accessOf(
  { privileges }: Role,
  isMeant: (table: string, column: string) => boolean,
): Pick<Granted, 'hidden' | 'unreadable'> {
  const some = (those: keyof Pick<Privileges, 'readable' | 'closed'>) => (one: Privileges) =>
    one[those].some((column) => isMeant(one.name, column));
  const unreadable = privileges.filter(some('closed'));
  const hidden = privileges.filter((one) => one.is_hidden && some('readable')(one) && !unreadable.includes(one));
  return { hidden: hidden.map(({ name }) => name), unreadable: unreadable.map(({ name }) => name) };
}
