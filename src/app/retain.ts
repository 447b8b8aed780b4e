import type { App } from '../app.ts';
import type { Logger } from '../logger.ts';
import { applyRetention, type RetentionOptions, type RetentionReport } from '../sync/privacy/retain.ts';
import { erasureTargets } from './erase-person.ts';

export type RetainApp = Pick<App, 'config' | 'connections' | 'database' | 'clock' | 'privacy'>;

export async function retain(
  app: RetainApp,
  { logger, signal, ...options }: RetentionOptions & { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<RetentionReport> {
  const { config, clock, privacy, database } = app;
  const { rules, visitsCount } = config.retention;
  const share = config.sync.deletionLimit;
  const targets = await erasureTargets(app);
  const parts = { prisma: database.prisma, clock, logger, privacy, signal, targets, rules, visitsCount, share };
  return applyRetention(parts, options);
}

export function logRetention({ rules, returned }: RetentionReport, logger: Logger): void {
  for (const { tables, due, of, isBlocked, ...rule } of rules) {
    if (isBlocked) logger.warn({ rule, due, of }, 'a rule of retention is due for too many rows: nothing was removed');
    else if (Object.keys(tables).length > 0) logger.info({ rule, tables }, 'rows were kept for long enough');
  }
  if (returned > 0) logger.info({ returned }, 'persons came back: the next full sync writes their rows again');
}
