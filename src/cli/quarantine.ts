import { type App, createApp, openMirrorDatabase } from '../app.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import {
  knownStreams,
  listOpenQuarantine,
  type QuarantinedRecord,
  type QuarantineEntry,
  type QuarantineFilter,
  readOpenQuarantine,
} from '../store/engine/quarantine.ts';
import { describeDetail } from '../store/refusal-detail.ts';
import { type RetryReport, retryQuarantine } from '../sync/retry-quarantine.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { formatAge, formatCount, formatTable, print, printJson } from './format.ts';
import { selectStreams } from './selection.ts';

export interface QuarantineOptions {
  readonly connection?: string;
  /** Also the records' own text, which is personal data. */
  readonly raw?: boolean;
  readonly json?: boolean;
}

const ACTIONS = ['list', 'retry'];

/** `quarantine tiledesk.leads` means `quarantine list tiledesk.leads`. */
export async function quarantine(
  first: string | undefined,
  others: readonly string[],
  options: QuarantineOptions,
): Promise<void> {
  const hasAction = first === undefined || ACTIONS.includes(first);
  const streams = hasAction ? others : [first, ...others];
  if (first === 'retry') await retry(streams, options);
  else await list(streams, options);
}

/** Needs the database only: no account has to be configured to look. */
async function list(words: readonly string[], options: QuarantineOptions): Promise<void> {
  await runCommand({ requireConnections: false, json: options.json }, async ({ config, logger, signal }) => {
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const filter = await readFilter(database.prisma, words, options.connection);
      const read = options.raw ? readOpenQuarantine : listOpenQuarantine;
      const entries: (QuarantineEntry | QuarantinedRecord)[] = [];
      for (let after = 0n; ; ) {
        const some = await read(database.prisma, filter, { after, limit: BATCH });
        const last = some.at(-1);
        if (last === undefined) break;
        entries.push(...some);
        after = last.id;
      }
      if (options.json) printJson({ quarantine: entries.map(toJson) });
      else for (const line of describe(entries)) print(line);
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}

const BATCH = 500;

/** Words are checked against the streams that were ever configured. */
async function readFilter(
  prisma: PrismaClient,
  words: readonly string[],
  connectionId: string | undefined,
): Promise<QuarantineFilter> {
  const known = await knownStreams(prisma);
  const connections = [...new Set(known.map(({ connection_id }) => connection_id))];
  if (connectionId !== undefined && !connections.includes(connectionId)) {
    throw new UsageError(`There is no connection ${connectionId}. Known: ${connections.join(', ')}`);
  }
  const names = [...new Set(known.map(({ stream }) => stream))];
  const meant = (word: string) => names.filter((name) => name === word || name.startsWith(`${word}.`));
  for (const word of words) {
    if (meant(word).length === 0) throw new UsageError(`There is no stream ${word}. Known: ${names.join(', ')}`);
  }
  return { connectionId: connectionId ?? null, streams: words.length === 0 ? null : words.flatMap(meant) };
}

function toJson(entry: QuarantineEntry | QuarantinedRecord) {
  const { connection_id, stream, record_id, reason, detail, first_seen_at, last_seen_at, run_id } = entry;
  return {
    connection: connection_id,
    ...{ stream, record_id, reason, detail, first_seen_at, last_seen_at },
    run: run_id,
    ...('raw_text' in entry ? { raw_text: entry.raw_text } : {}),
  };
}

function describe(entries: readonly (QuarantineEntry | QuarantinedRecord)[]): string[] {
  if (entries.length === 0) return ['No record is in quarantine.'];
  const now = Date.now();
  const rows = entries.map((entry) => [
    entry.connection_id,
    entry.stream,
    printable(entry.record_id),
    entry.reason,
    formatAge(entry.first_seen_at, now),
    formatAge(entry.last_seen_at, now),
    String(entry.run_id),
    describeDetail(entry.detail),
  ]);
  const head = ['connection', 'stream', 'record', 'reason', 'first seen', 'last seen', 'run', 'detail'];
  const texts = entries.flatMap((entry) =>
    'raw_text' in entry ? ['', `${entry.stream} ${printable(entry.record_id)}`, printable(entry.raw_text)] : [],
  );
  const hint = 'They are tried again by: leadmirror quarantine retry';
  return [formatTable(head, rows), ...texts, '', `${formatCount(entries.length)} in quarantine. ${hint}`];
}

/** Text from upstream could steer a terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\uFFFD');
}

async function retry(words: readonly string[], options: QuarantineOptions): Promise<void> {
  await runCommand({ json: options.json }, async ({ config, logger, signal }) => {
    const app = await createApp(config, { logger, signal });
    try {
      const reports = await retryAll(app, words, options, signal);
      if (options.json) printJson({ streams: reports });
      else for (const line of summarise(reports)) print(line);
      return EXIT.done;
    } finally {
      await app.close();
    }
  });
}

async function retryAll(
  app: App,
  words: readonly string[],
  options: QuarantineOptions,
  signal: AbortSignal,
): Promise<RetryReport[]> {
  const parts = { prisma: app.database.prisma, clock: app.clock, logger: app.logger };
  const reports: RetryReport[] = [];
  for (const { connection, stream } of selectStreams(app.connections, words, options.connection)) {
    reports.push(await retryQuarantine(parts, { connection, stream, signal }));
  }
  return reports;
}

function summarise(reports: readonly RetryReport[]): string[] {
  const tried = reports.filter((report) => report.tried > 0);
  if (tried.length === 0) return ['No record is in quarantine.'];
  return tried.map(
    ({ connection, stream, resolved, left }) =>
      `${connection} ${stream}: ${formatCount(resolved)} resolved, ${formatCount(left)} still in quarantine`,
  );
}
