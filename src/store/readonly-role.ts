import type { PrismaClient } from '../generated/prisma/client.ts';
import { quoteName } from './upsert-sql.ts';

/** Everything that people may read; tables that a later version adds to these schemas are readable too. */
const OPEN_SCHEMAS = ['reporting', 'tiledesk', 'tilkee'] as const;
/** Of the book-keeping what says how fresh things are. Secrets, cursors and quarantined texts stay closed. */
const OPEN_SYNC = ['status', 'runs', 'proofs', 'schema_drift'] as const;

export type GrantOutcome = 'granted' | 'no_such_role' | 'may_write';

/**
 * Lets a role read, and nothing else. `no_such_role`: it has to be created first. `may_write`: it is a superuser, owns the mirror or was given more by
 * somebody else, so that a promise of read-only would not be kept; nothing is changed then.
 */
export async function grantReadonly(prisma: PrismaClient, role: string): Promise<GrantOutcome> {
  return prisma.$transaction(async (tx) => {
    const [found] = await tx.$queryRaw<{ may_write: boolean }[]>`
      select bool_or(has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) as may_write
      from pg_roles r cross join pg_class c join pg_namespace n on n.oid = c.relnamespace
      where r.rolname = ${role} and c.relkind = 'r' and n.nspname in ('reporting', 'tiledesk', 'tilkee', 'sync')
      group by r.oid`;
    if (found === undefined) return 'no_such_role';
    if (found.may_write) return 'may_write';
    const name = quoteName(role);
    await tx.$executeRawUnsafe(`grant usage on schema ${[...OPEN_SCHEMAS, 'sync'].join(', ')} to ${name}`);
    await tx.$executeRawUnsafe(`grant select on all tables in schema ${OPEN_SCHEMAS.join(', ')} to ${name}`);
    await tx.$executeRawUnsafe(
      `alter default privileges in schema ${OPEN_SCHEMAS.join(', ')} grant select on tables to ${name}`,
    );
    await tx.$executeRawUnsafe(`grant select on ${OPEN_SYNC.map((table) => `sync.${table}`).join(', ')} to ${name}`);
    return 'granted';
  });
}
