import type { PrismaClient } from '../generated/prisma/client.ts';
import { formatTable } from './columns.ts';
import type { Printer } from './format.ts';

const QUERIES: readonly { readonly title: string; readonly sql: string }[] = [
  {
    title: 'Conversations by status (1000 is closed, 200 assigned, 100 waiting)',
    sql: 'select status, count(*) as requests from tiledesk.requests group by status order by status',
  },
  {
    title: 'Departments: conversations and minutes to the first answer',
    sql: `select d.name as department, count(*) as requests,
  round(avg(extract(epoch from r.first_response_at - r.created_at) / 60)::numeric, 1) as minutes
from tiledesk.requests r join tiledesk.departments d on d.connection_id = r.connection_id and d.id = r.department_id
group by d.name order by requests desc`,
  },
  {
    title: 'New leads a month',
    sql: `select to_char(date_trunc('month', created_at), 'YYYY-MM') as month, count(*) as leads
from tiledesk.leads where deleted_at is null group by 1 order by 1`,
  },
  {
    title: 'Tilkee projects that are read most: their links, visits and hours of reading',
    sql: `select p.name as project, count(*) as links, sum(t.nb_connections) as visits,
  round(sum(t.total_time) / 3600000.0, 1) as hours
from tilkee.projects p join tilkee.tokens t on t.connection_id = p.connection_id and t.project_id = p.id
where p.deleted_at is null and t.deleted_at is null
group by p.connection_id, p.id, p.name order by hours desc, p.name limit 8`,
  },
  {
    title: 'People of both: who wrote in the chat (Tiledesk) and read what was sent to them (Tilkee)',
    sql: `select l.fullname as person, c.conversations, sum(t.nb_connections) as visits,
  round(sum(t.total_time) / 60000.0) as minutes
from tiledesk.leads l
join (select connection_id, lead_id, count(*) as conversations from tiledesk.requests group by 1, 2) c
  on c.connection_id = l.connection_id and c.lead_id = l.id
join tilkee.tokens t on t.external_id in (l.id, l.lead_id)
where l.deleted_at is null and t.deleted_at is null and t.nb_connections > 0
group by l.connection_id, l.id, l.fullname, c.conversations order by minutes desc, person limit 8`,
  },
];

export async function showQueries(prisma: PrismaClient, print: Printer['print']): Promise<void> {
  for (const { title, sql } of QUERIES) print(`\n${title}\n${sql}\n\n${await query(prisma, sql)}`);
}

/** Returns the result as a human-readable table. */
export async function query(prisma: PrismaClient, sql: string): Promise<string> {
  const rows = await prisma.$queryRawUnsafe<Record<string, unknown>[]>(sql);
  const [first] = rows;
  if (first === undefined) return '(no rows)';
  const cell = (value: unknown) => (value instanceof Date ? value.toISOString() : value === null ? '' : String(value));
  return formatTable(
    Object.keys(first),
    rows.map((row) => Object.values(row).map(cell)),
  );
}
