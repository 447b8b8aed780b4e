import { type PrivacyRecord, readPrivacyRecord } from '../app/privacy-record.ts';
import { loadWithStored } from '../app/stored-connections.ts';
import type { Reader } from '../store/reports/readers.ts';
import { type CommandProcess, runOnDatabase } from './command.ts';

/** Prints the record of processing activities as Markdown: what leadmirror knows, and lines to fill in. */
export async function privacyRecord({ json }: { readonly json?: boolean }, proc: CommandProcess): Promise<void> {
  await runOnDatabase({ json, proc }, async (database, { config, stored, printResult }) => {
    const record = await readPrivacyRecord(await loadWithStored(stored, database, config.secretKey), database);
    printResult(record, () => markdownOf(record));
  });
}

const FILL_IN = '_to be filled in_';

function markdownOf(record: PrivacyRecord): string[] {
  const { accounts, tables, retention, storage, readers, consumers, erasures } = record;
  const { visitor_addresses_stored: hasAddresses, public_links_stored: hasLinks } = record;
  return [
    '# Record of processing: mirror of Tiledesk and Tilkee',
    '',
    `Written by leadmirror ${record.version}, ${record.generated_at}.`,
    '',
    ...[
      'Controller',
      'Data protection officer',
      'Purposes',
      'Legal basis',
      'Recipients',
      'Transfers to third countries',
    ].map((title) => `- ${title}: ${FILL_IN}`),
    '',
    ...section('Sources', ['account', 'upstream', 'streams'], accounts, ({ connection, upstream, streams }) => [
      connection,
      upstream.join(', ') || 'no longer configured; its rows are still stored',
      streams.join(', '),
    ]),
    ...section('Categories of data', ['table', 'people', 'data', 'columns that may hold it'], tables, (table) => [
      `${table.table}${table.has_history ? ', with history' : ''}`,
      table.people,
      table.data,
      table.columns.join(', '),
    ]),
    'The schema `reporting` holds names, addresses and numbers of the same people (`lead_360`) and of colleagues. `sync.quarantine` holds texts of records that could not be written.',
    '',
    ...section(
      'Fields that are changed before they are stored',
      ['account', 'stream', 'pseudonym', 'not stored'],
      accounts.flatMap(policiesOf),
      (cells) => cells,
    ),
    `IP addresses and user agents of visitors are ${hasAddresses ? 'stored' : 'not stored'}; public links of Tilkee are ${hasLinks ? 'stored' : 'not stored'}. Secrets of accounts are never stored.`,
    '',
    ...section('Retention', ['what', 'rule'], retention, ({ what, rule }) => [what, rule]),
    '## Where it is stored',
    '',
    `- Database: ${storage.is_built_in ? 'built-in Postgres on this machine' : storage.database}`,
    `- Queue: ${storage.queue === 'redis' ? 'Redis' : 'in the database'} (names of streams, no rows)`,
    `- LEADMIRROR_SECRET_KEY: ${storage.has_secret_key ? 'set; it encrypts sign-ins, the key of pseudonyms and the key of erasures' : 'not set'}`,
    `- Journal of erasures: ${storage.has_journal ? 'set, outside of the database' : 'not set; no person can be erased'}`,
    `- Location, encryption of the disk, backups and their retention: ${FILL_IN}`,
    '',
    ...section('Who can read', ['database role', 'login', 'access'], readers, ({ role, can_login, access }) => [
      role,
      can_login ? 'yes' : 'no',
      ACCESS[access],
    ]),
    `Programs that follow the feed of changes: ${consumers.map(cell).join(', ') || 'none'}. People with these roles, and with the status page: ${FILL_IN}`,
    '',
    ...section('Erasures', ['reason', 'state', 'count', 'last ended'], erasures, (one) => [
      one.reason,
      one.state,
      String(one.count),
      one.last_ended_at?.toISOString().slice(0, 10) ?? 'not yet',
    ]),
  ].slice(0, -1);
}

/** One row for each stream of which a field is changed. */
function policiesOf({ connection, presets, streams, pseudonyms, left_out }: PrivacyRecord['accounts'][number]) {
  const account = `${connection}${presets.length === 0 ? '' : ` (${presets.join(', ')})`}`;
  return streams.flatMap((stream) => {
    const [changed, dropped] = [pseudonyms, left_out].map((paths) =>
      paths.flatMap((path) => (path.startsWith(`${stream}.`) ? path.slice(stream.length + 1) : [])).join(', '),
    );
    return changed || dropped ? [[account, stream, changed || 'none', dropped || 'none']] : [];
  });
}

const ACCESS: Readonly<Record<Reader['access'], string>> = {
  superuser: 'everything (superuser)',
  write: 'everything, and may change it',
  personal_data: 'personal data',
  without_personal_data: 'no personal data',
};

function section<T>(
  title: string,
  head: readonly string[],
  rows: readonly T[],
  cellsOf: (row: T) => readonly string[],
): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  if (rows.length === 0) return [`## ${title}`, '', 'None.', ''];
  return [`## ${title}`, '', line(head), line(head.map(() => '---')), ...rows.map((row) => line(cellsOf(row))), ''];
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
