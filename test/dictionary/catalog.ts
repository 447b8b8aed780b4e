import type pg from 'pg';

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

/** In the order in which people look for them. */
export const SCHEMAS = ['reporting', 'tiledesk', 'tilkee', 'sync'] as const;

/** Every table and view of ours, as the catalogs of a migrated database have them. */
export async function readCatalog(client: pg.Client): Promise<CatalogTable[]> {
  const { rows } = await client.query<CatalogTable>(
    `select n.nspname as schema, c.relname as name, c.relkind = 'v' as "isView", obj_description(c.oid, 'pg_class') as comment,
       (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'comment', col_description(c.oid, a.attnum))
          order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind in ('r', 'v') and c.relname not like '\\_prisma%'
     order by array_position($1, n.nspname), c.relkind desc, c.relname`,
    [SCHEMAS],
  );
  return rows;
}

/** What has no comment, as `schema.table` or `schema.table.column`. */
export function withoutComment(tables: readonly CatalogTable[]): string[] {
  return tables.flatMap(({ schema, name, comment, columns }) => [
    ...(comment ? [] : [`${schema}.${name}`]),
    ...columns.filter((column) => !column.comment).map((column) => `${schema}.${name}.${column.name}`),
  ]);
}
