import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import type { Listable, TiledeskSandbox } from '../../sandbox/tiledesk.ts';

/** How the mirror differs from the sandbox: ids only, so that a failure reads well. Empty lists: equal. */
export interface Difference {
  readonly missing: string[];
  readonly extra: string[];
  /** `id: field`, for raw and for typed columns. */
  readonly different: string[];
}

export const EQUAL: Difference = { missing: [], extra: [], different: [] };

type Document = Record<string, unknown>;

const INSTANT = (value: unknown) => (value === undefined || value === null ? null : new Date(String(value)).getTime());
const PLAIN = (value: unknown) => value ?? null;
const ID = (value: unknown): unknown =>
  typeof value === 'object' && value !== null ? (value as Document)._id : PLAIN(value);
const NAME = (value: unknown) => (value as { name?: unknown } | undefined)?.name ?? null;
const BIG = (value: unknown) => (value === undefined || value === null ? null : String(value));

type Reader = (record: Document) => unknown;

/** Typed columns computed from the sandbox's own documents, written independently of the mapping under test. */
const COLUMNS: Record<string, Record<string, Reader>> = {
  leads: {
    lead_id: (r) => PLAIN(r.lead_id),
    fullname: (r) => PLAIN(r.fullname),
    email: (r) => PLAIN(r.email),
    phone: (r) => PLAIN(r.phone),
    company: (r) => PLAIN(r.company),
    city: (r) => PLAIN(r.city),
    tags: (r) => PLAIN(r.tags),
    attributes: (r) => PLAIN(withoutVisitor(r.attributes)),
    status: (r) => PLAIN(r.status),
    created_by: (r) => PLAIN(r.createdBy),
    created_at: (r) => INSTANT(r.createdAt),
    updated_at: (r) => INSTANT(r.updatedAt),
    deleted_at: (r) => (r.status === 1000 ? INSTANT(r.updatedAt) : null),
  },
  requests: {
    request_id: (r) => PLAIN(r.request_id),
    ticket_id: (r) => BIG(r.ticket_id),
    status: (r) => PLAIN(r.status),
    preflight: (r) => PLAIN(r.preflight),
    draft: (r) => PLAIN(r.draft),
    has_bot: (r) => PLAIN(r.hasBot),
    first_text: (r) => PLAIN(r.first_text),
    subject: (r) => PLAIN(r.subject),
    lead_id: (r) => ID(r.lead),
    requester: (r) => ID(r.requester),
    department_id: (r) => ID(r.department),
    participants: (r) => PLAIN(r.participants),
    priority: (r) => PLAIN(r.priority),
    working_status: (r) => PLAIN(r.workingStatus),
    channel: (r) => NAME(r.channel),
    language: (r) => PLAIN(r.language),
    user_agent: () => null,
    rating: (r) => PLAIN(r.rating),
    tags: (r) => ((r.tags as { tag: string }[] | undefined) ?? []).map(({ tag }) => tag),
    first_response_at: (r) => INSTANT(r.first_response_at),
    assigned_at: (r) => INSTANT(r.assigned_at),
    closed_at: (r) => INSTANT(r.closed_at),
    closed_by: (r) => PLAIN(r.closed_by),
    waiting_time_ms: (r) => BIG(r.waiting_time),
    duration_ms: (r) => BIG(r.duration),
    created_at: (r) => INSTANT(r.createdAt),
    updated_at: (r) => INSTANT(r.updatedAt),
    deleted_at: () => null,
  },
  departments: {
    name: (r) => PLAIN(r.name),
    routing: (r) => PLAIN(r.routing),
    is_default: (r) => PLAIN(r.default),
    status: (r) => PLAIN(r.status),
    created_at: (r) => INSTANT(r.createdAt),
  },
  project_users: {
    id_user: (r) => ID(r.id_user),
    role: (r) => PLAIN(r.role),
    email: (r) => (r.id_user as Document | undefined)?.email ?? null,
    user_available: (r) => PLAIN(r.user_available),
    last_login_at: (r) => INSTANT(r.last_login_at),
    updated_at: (r) => INSTANT(r.updatedAt),
  },
  bots: {
    name: (r) => PLAIN(r.name),
    slug: (r) => PLAIN(r.slug),
    type: (r) => PLAIN(r.type),
    intents_engine: (r) => PLAIN(r.intentsEngine),
    trained: (r) => PLAIN(r.trained),
    tags: (r) => PLAIN(r.tags),
    certified_tags: (r) => PLAIN(r.certifiedTags),
    updated_at: (r) => INSTANT(r.updatedAt),
    deleted_at: () => null,
  },
  groups: {
    name: (r) => PLAIN(r.name),
    members: (r) => PLAIN(r.members),
    enabled: (r) => PLAIN(r.enabled),
    updated_at: (r) => INSTANT(r.updatedAt),
    deleted_at: () => null,
  },
  tags: {
    tag: (r) => PLAIN(r.tag),
    color: (r) => PLAIN(r.color),
    updated_at: (r) => INSTANT(r.updatedAt),
    deleted_at: () => null,
  },
  messages: {
    request_id: (r) => PLAIN(r.recipient),
    sender: (r) => PLAIN(r.sender),
    sender_fullname: (r) => PLAIN(r.senderFullname),
    type: (r) => PLAIN(r.type),
    channel: (r) => NAME(r.channel),
    text: (r) => PLAIN(r.text),
    status: (r) => PLAIN(r.status),
    subtype: (r) => (r.attributes as Document | undefined)?.subtype ?? null,
    metadata: (r) => PLAIN(r.metadata),
    created_at: (r) => INSTANT(r.createdAt),
    updated_at: (r) => INSTANT(r.updatedAt),
    deleted_at: () => null,
  },
};

export type Kind = keyof Listable;

const VISITOR_KEYS = new Set(['userAgent', 'ipAddress', 'last_ip', 'ip', 'user_agent', 'ip_address']);

/** What STORE_VISITOR_PII=false leaves, the obvious way. */
function withoutVisitor(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutVisitor);
  if (typeof value !== 'object' || value === null) return value ?? null;
  const kept = Object.entries(value).filter(([key, inner]) => {
    const isUserAgent = key === 'client' && typeof inner === 'string' && inner.startsWith('Mozilla/');
    return !VISITOR_KEYS.has(key) && !isUserAgent;
  });
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutVisitor(inner)]));
}

/** Every row and every field: raw as a whole, and each typed column, against what the sandbox would list. */
export async function compareMirror(databaseUrl: string, sandbox: TiledeskSandbox, kind: Kind): Promise<Difference> {
  const expected = new Map(
    (sandbox.data.listable()[kind] as unknown as Document[]).map((record) => [String(record._id), record]),
  );
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<Document>(`select * from tiledesk.${kind}`);
    const stored = new Map(rows.map((row) => [String(row.id), row]));
    return {
      missing: [...expected.keys()].filter((id) => !stored.has(id)),
      extra: [...stored.keys()].filter((id) => !expected.has(id)),
      different: [...expected].flatMap(([id, record]) => differences(id, record, stored.get(id), COLUMNS[kind] ?? {})),
    };
  } finally {
    await client.end();
  }
}

function differences(
  id: string,
  record: Document,
  row: Document | undefined,
  columns: Record<string, Reader>,
): string[] {
  if (row === undefined) return [];
  const found: string[] = [];
  if (!isSame(row.raw, withoutVisitor(record))) found.push(`${id}: raw`);
  for (const [column, read] of Object.entries(columns)) {
    const stored = row[column] instanceof Date ? row[column].getTime() : row[column];
    if (!isSame(stored, read(record))) found.push(`${id}: ${column}`);
  }
  return found;
}

/** Most are, and then the quick comparison is enough. */
const isSame = (one: unknown, other: unknown): boolean =>
  isDeepStrictEqual(one, other) || canonical(one) === canonical(other);

/** JSON with sorted keys: key order means nothing, upstream and in jsonb. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
