import type { FastifyInstance } from 'fastify';
import { type Report, type ReportQuery, readReport, readReportedConnections } from '../../store/reports/report.ts';
import type { OpsParts } from '../parts.ts';
import { Remembered } from '../remembered.ts';
import { readReportForm, reportPage } from '../report/page.ts';
import { reportView } from '../report/view.ts';
import type { ShowPage } from './pages.ts';
import { BadRequest } from './replies.ts';

/** Looks at the same days within a minute, or more where they cost much, get the same answer; for so many choices. */
const KEPT = { minAgeMs: 10_000, restShare: 20 };
const KEPT_CHOICES = 20;

/** The report tab: the main figures of schema `reporting`. The same behind `/api/report` for scripts. */
export function addReportRoutes(server: FastifyInstance, { prisma }: OpsParts, show: ShowPage): void {
  const kept = new Map<string, Remembered<Report>>();
  const answerTo = (query: ReportQuery): Promise<Report> => {
    const key = JSON.stringify([query.from, query.to, query.connection]);
    const answer = kept.get(key) ?? new Remembered(() => readReport(prisma, query), KEPT);
    kept.delete(key);
    kept.set(key, answer);
    const [oldest] = kept.keys();
    if (kept.size > KEPT_CHOICES && oldest !== undefined) kept.delete(oldest);
    return answer.get();
  };
  const look = async (fields: unknown) => {
    const accounts = await readReportedConnections(prisma);
    const form = readReportForm(fields as Record<string, unknown>, accounts);
    return { form, accounts, report: await answerTo(form.query) };
  };

  server.get('/report', async (request, reply) => {
    const { form, accounts, report } = await look(request.query);
    const main = reportPage(form, accounts, report, reportView(report, Date.now()));
    return show(request, reply, { tab: 'report', title: `Report, ${report.from} to ${report.to}`, main });
  });

  server.get('/api/report', async (request) => {
    const { form, report } = await look(request.query);
    if (form.problem !== null) throw new BadRequest(form.problem);
    return report;
  });
}
