import { systemClock } from '../clock.ts';
import { type Config, type ConnectionConfig, policyOf } from '../config.ts';
import { rulesOf } from '../sources/field-policy.ts';
import { BUILT_IN_TABLES } from '../sources/tables.ts';
import { listStreams } from '../store/engine/streams.ts';
import { readErasureCounts } from '../store/privacy/erasure-counts.ts';
import { openColumns } from '../store/privacy/open-columns.ts';
import { impersonalColumns } from '../store/reports/impersonal-role.ts';
import { readReaders } from '../store/reports/readers.ts';
import type { FieldRule } from '../stream.ts';
import { readVersion } from '../version.ts';
import type { MirrorDatabase } from './mirror-database.ts';
import { retentionInForce } from './retention-in-force.ts';

export type PrivacyRecord = Awaited<ReturnType<typeof readPrivacyRecord>>;

const CONVERSATIONS = 'visitors and customers; colleagues who answer';

/** Whom the rows are about, and what they hold of them. */
const CONTENT: Readonly<Record<string, readonly [people: string, data: string]>> = {
  'tiledesk.leads': [
    'visitors and customers',
    'name, e-mail address, phone number, company, address, notes, attributes',
  ],
  'tiledesk.requests': [CONVERSATIONS, 'first text, subject, rating, notes, contact data, who took part and when'],
  'tiledesk.messages': [CONVERSATIONS, 'what they wrote, names of senders'],
  'tiledesk.activities': ['colleagues; visitors who opened a conversation', 'who did what and when, by ids'],
  'tiledesk.project_users': ['colleagues; guests', 'name, e-mail address, role, availability'],
  'tilkee.projects': ['customers, where a project is named after one; colleagues', 'name of the project, owner'],
  'tilkee.items': ['colleagues', 'name of the document, owner'],
  'tilkee.tokens': ['recipients of links', 'name or address of the recipient, reading times'],
  'tilkee.connexions': ['recipients of links', 'visits: when, how long, device'],
  'tilkee.users': ['colleagues', 'name, e-mail address, phone number, position'],
};
const NO_PERSON = ['none as a rule', 'names and settings of the organisation'] as const;
const UNKNOWN = ['not known to leadmirror', 'not known to leadmirror'] as const;

/** What a record of processing activities asks about the mirror, as it is configured and as the database is now. */
export async function readPrivacyRecord(config: Config, database: MirrorDatabase) {
  const { prisma } = database;
  const known = await listStreams(prisma, 'all');
  const history = await prisma.syncHistory.findMany({ where: { off_since: null }, select: { stream: true } });
  const consumers = await prisma.syncConsumer.findMany({ select: { name: true }, orderBy: { name: 'asc' } });
  const streams = new Map<string, Set<string>>();
  const add = (connectionId: string, stream: string) =>
    streams.set(connectionId, (streams.get(connectionId) ?? new Set()).add(stream));
  for (const { id, source, streams } of config.connections) for (const name of streams) add(id, `${source}.${name}`);
  for (const { connectionId, stream } of known) add(connectionId, stream);
  const accounts = [...streams].map(([connection, names]) => accountOf(connection, [...names].sort(), config));
  const tables = [...new Set(accounts.flatMap((account) => account.streams))].sort().map((table) => {
    const spec = BUILT_IN_TABLES.find(({ schema, name }) => `${schema}.${name}` === table);
    const open = new Set(spec === undefined ? [] : openColumns(spec));
    const [people, data] = CONTENT[table] ?? (spec === undefined ? UNKNOWN : NO_PERSON);
    return {
      table,
      connections: accounts.filter((account) => account.streams.includes(table)).map(({ connection }) => connection),
      people,
      data,
      /** That may hold personal data. */
      columns: [...Object.keys(spec?.columns ?? {}).filter((column) => !open.has(column)), 'raw'],
      has_history: history.some(({ stream }) => stream === table),
    };
  });
  return {
    version: readVersion(),
    generated_at: new Date(systemClock.now()).toISOString(),
    accounts,
    tables,
    visitor_addresses_stored: config.privacy.storeVisitorPii,
    public_links_stored: config.privacy.storeLinks,
    retention: retentionInForce(config),
    storage: {
      database: database.address,
      is_built_in: database.embedded !== null,
      queue: config.redis === null ? 'postgres' : 'redis',
      /** Encrypts sign-ins, keys and hashes; the rows themselves are as the disk of the database is. */
      has_secret_key: config.secretKey !== null,
      has_journal: config.privacyJournal !== null,
    },
    readers: await readReaders(prisma, impersonalColumns(BUILT_IN_TABLES)),
    consumers: consumers.map(({ name }) => name),
    erasures: await readErasureCounts(prisma),
  };
}

function accountOf(connection: string, streams: readonly string[], config: Config) {
  const configured = config.connections.find(({ id }) => id === connection);
  const policy = policyOf(config, connection);
  const rules = configured === undefined ? [] : rulesOf(policy);
  const own = rules.filter(({ stream }) => streams.includes(stream));
  const paths = (action: FieldRule['action']) =>
    own.filter((rule) => rule.action === action).map(({ stream, path }) => `${stream}.${path.join('.')}`);
  return {
    connection,
    source: streams[0]?.split('.')[0] ?? '',
    /** Hosts. Empty: no longer configured, and its rows are still there. */
    upstream: configured === undefined ? [] : hostsOf(configured),
    streams,
    presets: configured === undefined ? [] : policy.presets,
    pseudonyms: paths('pseudonym'),
    left_out: paths('drop'),
  };
}

function hostsOf(connection: ConnectionConfig): string[] {
  const urls = connection.source === 'tiledesk' ? [connection.baseUrl] : [connection.v3Url, connection.v2Url];
  return [...new Set(urls.map((url) => new URL(url).host))];
}
