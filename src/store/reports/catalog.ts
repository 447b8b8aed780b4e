import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';

export interface CatalogColumn {
  readonly name: string;
  readonly type: string;
  readonly comment: string | null;
}

export interface CatalogTable {
  readonly schema: string;
  readonly name: string;
  readonly isView: boolean;
  readonly comment: string | null;
  readonly columns: readonly CatalogColumn[];
}

/** Schema of our own records; it comes last. */
const RECORDS = 'sync';

/** Returns tables and views of these schemas in their order, and of `sync`, with the comments on them and their columns. */
export function readCatalog(prisma: PrismaClient, schemas: readonly string[]): Promise<CatalogTable[]> {
  const all = [...schemas, RECORDS];
  return prisma.$queryRaw<CatalogTable[]>(Prisma.sql`
    select n.nspname as schema, c.relname as name, c.relkind = 'v' as "isView",
      obj_description(c.oid, 'pg_class') as comment,
      (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
          'comment', col_description(c.oid, a.attnum)) order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any(${all}) and c.relkind in ('r', 'p', 'v') and not c.relispartition
      and c.relname not like '\\_prisma%'
    order by array_position(${all}, n.nspname::text), c.relkind desc, c.relname`);
}
