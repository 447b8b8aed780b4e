import { retain } from '../app/retain.ts';
import { refreshReporting } from '../store/reports/refresh.ts';
import type { RetentionReport, RuleReport } from '../sync/privacy/retain.ts';
import { type CommandProcess, runOnApp, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { counted, formatCount } from './format.ts';
import { countLines } from './person.ts';

export async function retention(
  options: { readonly dryRun?: boolean; readonly force?: boolean; readonly json?: boolean },
  proc: CommandProcess,
): Promise<void> {
  const isDryRun = options.dryRun === true;
  await runOnApp({ json: options.json, proc }, async (app, { logger, signal, printResult }) => {
    if (app.config.retention.rules.length === 0) throw new UsageError(NO_RULES);
    const report = await retain(app, { logger, signal, isDryRun, isForced: options.force === true });
    if (!isDryRun) {
      // What is busy with it reads the rows again by itself.
      await refreshReporting(app.database, { signal });
    }
    printResult(documentOf(report, isDryRun), () => [
      ...report.rules.flatMap((rule) => describe(rule, isDryRun)),
      ...(report.returned === 0
        ? []
        : [`${counted(report.returned, 'person')} came back; the next full sync writes their rows again.`]),
      ...(isDryRun ? ['Nothing was removed.'] : []),
    ]);
    return report.rules.some(({ isBlocked }) => isBlocked) && !isDryRun ? EXIT.failed : EXIT.done;
  });
}

const NO_RULES =
  'No rule of retention is set, so nothing is removed. Set PRIVACY_RETENTION, such as "tiledesk.leads last_contact 36 months erase"';

const documentOf = ({ rules, returned }: RetentionReport, isDryRun: boolean) => ({
  state: isDryRun ? 'dry_run' : 'done',
  rules: rules.map(({ isBlocked, ...rule }) => ({ ...rule, blocked: isBlocked })),
  returned,
});

function describe({ stream, since, after, due, of, isBlocked, tables, ...rule }: RuleReport, isDryRun: boolean) {
  const what = rule.do === 'erase' ? 'erase' : 'remove the texts of';
  const head = `${stream}: ${what} what is ${after} old since ${since}: ${formatCount(due)} of ${counted(of, 'row')} due`;
  if (!isBlocked) return [head, ...countLines(tables)];
  const advice = 'That is a large share of the table. Look at the rule; if it is meant, add --force.';
  return [head, ...countLines(tables), isDryRun ? advice : `${advice} Nothing of it was removed.`];
}
