import type { PrismaClient } from '../../generated/prisma/client.ts';

export interface Reader {
  readonly role: string;
  readonly can_login: boolean;
  /** `superuser`: everything; `write`: it may change the mirror; `personal_data`: it reads a column that may hold some. */
  readonly access: 'superuser' | 'write' | 'personal_data' | 'without_personal_data';
}

/**
 * Roles that read something of the mirror, by whatever grant, a membership or one to public among them. `open`:
 * the columns that hold no personal data, as `schema.table.column`.
 */
export function readReaders(prisma: PrismaClient, open: readonly string[]): Promise<Reader[]> {
  return prisma.$queryRaw<Reader[]>`
    with columns as (
      select n.oid as schema, c.oid, a.attnum, n.nspname || '.' || c.relname || '.' || a.attname = any(${open}) as is_open
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relkind in ('r', 'p', 'v', 'm') and (n.nspname in ('reporting', 'sync', 'tiledesk', 'tilkee') or (
        select count(*) = 3 from pg_attribute a where a.attrelid = c.oid and a.attname in ('connection_id', 'raw', 'content_hash')))
    ), roles as (
      select r.rolname, r.rolcanlogin, r.rolsuper,
        bool_or(has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) as may_write,
        bool_or(not c.is_open) filter (where has_column_privilege(r.oid, c.oid, c.attnum, 'SELECT')) as reads_personal,
        bool_or(has_column_privilege(r.oid, c.oid, c.attnum, 'SELECT')) as reads
      from pg_roles r join columns c on has_schema_privilege(r.oid, c.schema, 'USAGE')
      where r.rolname !~ '^pg_' or r.rolcanlogin group by r.oid, r.rolname, r.rolcanlogin, r.rolsuper
    )
    select rolname::text as role, rolcanlogin as can_login, case when rolsuper then 'superuser' when may_write then 'write'
      when reads_personal then 'personal_data' else 'without_personal_data' end as access
    from roles where reads order by 1`;
}
