import type { SqlQuery, SqlQueryable } from '@prisma/driver-adapter-utils';
import { type Tracer, within } from '../trace.ts';

/** Each statement that belongs to traced work becomes a span: its verb and table, never its parameters. */
export function traceStatements<T extends SqlQueryable>(queryable: T, tracer: Tracer): T {
  const queryRaw = queryable.queryRaw.bind(queryable);
  const executeRaw = queryable.executeRaw.bind(queryable);
  queryable.queryRaw = (query) => within(openSpan(tracer, query), () => queryRaw(query));
  queryable.executeRaw = (query) => within(openSpan(tracer, query), () => executeRaw(query));
  return queryable;
}

/** Null outside of traced work: the pulse of leases and schedulers would drown what people look for. */
function openSpan(tracer: Tracer, { sql }: SqlQuery) {
  const { operation, target } = summarize(sql);
  const summary = target === null ? operation : `${operation} ${target}`;
  return (
    tracer.active()?.child(`sql ${summary}`, {
      'db.system.name': 'postgresql',
      'db.operation.name': operation,
      'db.query.summary': summary,
    }) ?? null
  );
}

const WRITES = /\b(insert\s+into|update|delete\s+from)\s+("?[a-z_]+"?\."?[a-z_]+"?)/gi;
const READS = /\bfrom\s+("?[a-z_]+"?\."?[a-z_]+"?)/i;

/**
 * What a statement does and to which table: `insert tiledesk.leads`. A statement that reads in order to write is a write, and one that writes rows and the
 * mirror's own books with them is about the rows.
 */
export function summarize(sql: string): { readonly operation: string; readonly target: string | null } {
  const writes = [...sql.matchAll(WRITES)].map(([, verb = '', table = '']) => ({
    operation: verb.split(/\s/)[0]?.toLowerCase() ?? '',
    target: bare(table),
  }));
  const write = writes.find(({ target }) => !target.startsWith('sync.')) ?? writes[0];
  if (write !== undefined) return write;
  const operation = /^\s*([a-z]+)/i.exec(sql)?.[1]?.toLowerCase() ?? 'statement';
  const target = READS.exec(sql)?.[1];
  return { operation: operation === 'with' ? 'select' : operation, target: target === undefined ? null : bare(target) };
}

const bare = (name: string): string => name.replaceAll('"', '').toLowerCase();
