import type { Prisma } from '../generated/prisma/client.ts';

export type RelationColumn = { readonly name: string; readonly type: string; readonly comment: string | null };

export interface Relation {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned' | 'view' | 'materialized view';
  readonly isPartition: boolean;
  readonly comment: string | null;
  readonly columns: readonly RelationColumn[];
}

/** Tables and views of these schemas in their order, views first, with their columns and the comments on both. */
export function readRelations(db: Prisma.TransactionClient, schemas: readonly string[]): Promise<Relation[]> {
  return db.$queryRaw<Relation[]>`
    select n.nspname as schema, c.relname as name, c.relispartition as "isPartition",
      obj_description(c.oid, 'pg_class') as comment,
      case c.relkind when 'r' then 'table' when 'p' then 'partitioned' when 'v' then 'view'
        else 'materialized view' end as kind,
      (select coalesce(json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
          'comment', col_description(c.oid, a.attnum)) order by a.attnum), '[]')
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any(${schemas}) and c.relkind in ('r', 'p', 'v', 'm')
    order by array_position(${schemas}, n.nspname::text), c.relkind desc, c.relname`;
}

export const hasColumn = ({ columns }: Relation, name: string): boolean =>
  columns.some((column) => column.name === name);
