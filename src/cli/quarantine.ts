import {
  listOpenQuarantine,
  type QuarantinedRecord,
  type QuarantineEntry,
  readOpenQuarantine,
} from '../store/engine/quarantine.ts';
import { listStreams } from '../store/engine/streams.ts';
import { describeDetail } from '../store/refusal-detail.ts';
import { type RetryReport, retryQuarantine } from '../sync/retry-quarantine.ts';
import { formatTable } from './columns.ts';
import { type CommandProcess, runOnApp, runOnDatabase, type StreamOptions } from './command.ts';
import { formatAge, formatCount } from './format.ts';
import { selectKnown, selectStreams } from './selection.ts';

export interface QuarantineOptions extends StreamOptions {
  /** Also the records' own text, which is personal data. */
  readonly raw?: boolean;
}

const ACTIONS = ['list', 'retry'];

/** `quarantine tiledesk.leads` means `quarantine list tiledesk.leads`. */
export async function quarantine(
  first: string | undefined,
  others: readonly string[],
  options: QuarantineOptions,
  proc: CommandProcess,
): Promise<void> {
  const hasAction = first === undefined || ACTIONS.includes(first);
  const streams = hasAction ? others : [first, ...others];
  if (first === 'retry') await retry(streams, options, proc);
  else await list(streams, options, proc);
}

/** Needs no configured account. Names are checked against the streams that were ever configured. */
async function list(
  names: readonly string[],
  { connection, raw, json }: QuarantineOptions,
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json, proc }, async ({ prisma }, { printResult }) => {
    const selected = selectKnown(await listStreams(prisma, 'all'), names, connection);
    const filter = {
      ...(connection !== undefined && { connectionId: connection }),
      ...(names.length > 0 && { streams: selected.map(({ stream }) => stream) }),
    };
    const read = raw ? readOpenQuarantine : listOpenQuarantine;
    const entries: readonly ListedRecord[] = await read(prisma, filter);
    printResult({ quarantine: entries.map(toJson) }, () => describe(entries));
  });
}

type ListedRecord = QuarantineEntry | QuarantinedRecord;

function toJson(entry: ListedRecord) {
  const { connection_id, stream, record_id, reason, detail, first_seen_at, last_seen_at, run_id } = entry;
  return {
    connection: connection_id,
    ...{ stream, record_id, reason, detail, first_seen_at, last_seen_at },
    run: run_id,
    ...('raw_text' in entry ? { raw_text: entry.raw_text } : {}),
  };
}

function describe(entries: readonly ListedRecord[]): string[] {
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

async function retry(
  names: readonly string[],
  { connection: id, json }: QuarantineOptions,
  proc: CommandProcess,
): Promise<void> {
  await runOnApp({ json, proc }, async (app, { signal, logger, printResult }) => {
    const parts = { prisma: app.database.prisma, clock: app.clock, logger, privacy: app.privacy };
    const reports: RetryReport[] = [];
    for (const { connection, stream } of selectStreams(app.connections, names, id)) {
      reports.push(await retryQuarantine(parts, { connection, stream, signal }));
    }
    printResult({ streams: reports }, () => summarise(reports));
  });
}

function summarise(reports: readonly RetryReport[]): string[] {
  const tried = reports.filter((report) => report.tried > 0);
  if (tried.length === 0) return ['No record is in quarantine.'];
  return tried.map(
    ({ connection, stream, resolved, left }) =>
      `${connection} ${stream}: ${formatCount(resolved)} resolved, ${formatCount(left)} still in quarantine`,
  );
}
