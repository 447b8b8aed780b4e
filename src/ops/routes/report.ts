import type { FastifyInstance } from 'fastify';
import { readLabels, titleOf } from '../../store/engine/account-names.ts';
import { type Report, type ReportQuery, readReport, readReportedConnections } from '../../store/reports/report.ts';
import { DAY_MS, dayOf, msOf } from '../../store/reports/report-days.ts';
import type { OpsParts } from '../parts.ts';
import { Remembered } from '../remembered.ts';
import { readReportForm, reportPage } from '../report/page.ts';
import { type Cell, reportFigures, reportView } from '../report/view.ts';
import type { ShowPage } from './pages.ts';
import { BadRequest } from './replies.ts';

/** Looks at the same days within a minute, or more where they cost much, get the same answer; for so many choices. */
const KEPT = { minAgeMs: 10_000, restShare: 20 };
const KEPT_CHOICES = 20;

/** The report tab: the main figures of schema `reporting`. The same behind `/api/report` for scripts. */
export function addReportRoutes(server: FastifyInstance, { prisma, names }: OpsParts, show: ShowPage): void {
  const kept = new Map<string, Remembered<Report>>();
  const answerTo = (query: ReportQuery): Promise<Report> => {
    const key = JSON.stringify([query.from, query.to, query.connection, query.agents]);
    const answer = kept.get(key) ?? new Remembered(() => readReport(prisma, query), KEPT);
    kept.delete(key);
    kept.set(key, answer);
    const [oldest] = kept.keys();
    if (kept.size > KEPT_CHOICES && oldest !== undefined) kept.delete(oldest);
    return answer.get();
  };
  const look = async (fields: unknown, agents = false) => {
    const accounts = await readReportedConnections(prisma);
    const form = readReportForm(fields as Record<string, unknown>, accounts);
    return { form, accounts, report: await answerTo({ ...form.query, agents }) };
  };

  server.get('/report', async (request, reply) => {
    const labels = await readLabels(prisma, names?.());
    const { form, accounts, report } = await look(request.query, true);
    const { from, to } = report;
    const before = await answerTo({ ...daysBefore(report), connection: form.query.connection });
    const csvOf = (title: string) =>
      `/report.csv?${new URLSearchParams({ from, to, connection: form.query.connection ?? '', figure: title })}`;
    const view = reportView(report, Date.now(), { before, csvOf });
    const main = reportPage(
      form,
      accounts.map((id) => ({ id, label: titleOf(id, labels.get(id)) })),
      report,
      view,
    );
    return show(request, reply, { tab: 'report', title: `Report, ${from} to ${to}`, main });
  });

  server.get<{ Querystring: { figure?: string } }>('/report.csv', async (request, reply) => {
    const { report } = await look(request.query, true);
    const figure = reportFigures(report).find(({ title }) => title === request.query.figure);
    if (figure === undefined) return reply.callNotFound();
    const name = `${figure.title.toLowerCase().replace(/[^a-z]+/g, '-')}-${report.from}-${report.to}.csv`;
    reply.header('content-disposition', `attachment; filename="${name}"`);
    return reply
      .type('text/csv; charset=utf-8')
      .send(figure.csv.map((row) => `${row.map(csvCell).join(',')}\r\n`).join(''));
  });

  server.get('/api/report', async (request) => {
    const { form, report } = await look(request.query);
    if (form.problem !== null) throw new BadRequest(form.problem);
    return report;
  });
}

/** As many days, up to the one before the first. */
function daysBefore({ from, to }: Pick<Report, 'from' | 'to'>) {
  const first = msOf(from);
  return { from: dayOf(first - (msOf(to) - first) - DAY_MS), to: dayOf(first - DAY_MS) };
}

/** A name that begins like a formula is text to a spreadsheet, too. */
function csvCell(value: Cell): string {
  const text = typeof value === 'string' ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
