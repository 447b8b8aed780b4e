import type { Selectors } from '../sync/privacy/closure.ts';
import type { ErasurePlan, ErasureTarget } from '../sync/privacy/erasure-plan.ts';
import { UsageError } from './command.ts';
import { formatCount } from './format.ts';

/** Whom a command is about. Every option may be repeated. */
export interface PersonFlags {
  readonly lead?: readonly string[];
  readonly email?: readonly string[];
  readonly phone?: readonly string[];
  readonly link?: readonly string[];
  readonly request?: readonly string[];
  /** `tiledesk.users:5f…` */
  readonly include?: readonly string[];
  readonly connection?: string;
}

export function readSelectors(options: PersonFlags): Selectors {
  const { lead = [], email = [], phone = [], link = [], request = [], include = [] } = options;
  const given = [...lead, ...email, ...phone, ...link, ...request, ...include];
  if (given.length === 0 || given.some((value) => value.trim() === '')) {
    throw new UsageError('Whom? Give --lead, --email, --phone, --link or --request; each may be repeated');
  }
  const rows = include.map((text) => {
    const [, stream, id] = /^([a-z0-9_]+\.[a-z0-9_]+):(.+)$/.exec(text) ?? [];
    if (stream === undefined || id === undefined) throw new UsageError(`--include takes stream:id, not ${text}`);
    return { stream, id };
  });
  return { leads: lead, emails: email, phones: phone, links: link, requests: request, rows };
}

/** The accounts that are looked through. @throws UsageError */
export function connectionsOf(targets: readonly ErasureTarget[], { connection }: PersonFlags): string[] {
  const all = [...new Set(targets.map(({ connectionId }) => connectionId))];
  const wanted = all.filter((id) => (connection ?? id) === id);
  if (wanted.length === 0) throw new UsageError(`There is no connection ${connection ?? ''}`);
  return wanted;
}

/** Tilkee's ids are numbers, which several accounts have. @throws UsageError */
export function assertOneAccount({ rows }: Pick<ErasurePlan, 'rows'>, { link = [], connection }: PersonFlags): void {
  const accounts = rows.filter(({ stream, id }) => stream === 'tilkee.tokens' && link.includes(id));
  if (connection !== undefined || new Set(accounts.map(({ connectionId }) => connectionId)).size < 2) return;
  throw new UsageError('Several accounts have a link of this id; name one with --connection');
}

export const countLines = (counts: Readonly<Record<string, number>>): string[] =>
  Object.entries(counts).map(([table, count]) => `  ${table}: ${formatCount(count)}`);
