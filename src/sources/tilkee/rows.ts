import {
  asEpochSecondsTime,
  asId,
  asObject,
  asText,
  asTexts,
  asTime,
  firstOf,
  isObject,
  type JsonObject,
} from '../coerce.ts';
import {
  bigint,
  type Column,
  column,
  count,
  defineTable,
  flag,
  integer,
  list,
  number,
  object,
  type RecordTableOptions,
  reference,
  text,
  time,
} from '../record-table.ts';
import type { TilkeeApiName } from './parts.ts';

/**
 * The tables of both APIs in one shape, under V3's names. A field is looked for under every name that any source gives
 * it, whichever API answered, and all types are known: servers of different years mix them. Short names of the sources
 * as in `privacy.ts`.
 */
const tilkeeTable = (name: string, columns: Readonly<Record<string, Column>>, options: RecordTableOptions = {}) => {
  const known = { ...options.known, number: `id ${options.known?.number ?? ''}`.trim() };
  const dates = { created_at: time(), updated_at: time() };
  return defineTable(['tilkee', name, 'id'], { ...columns, ...dates }, { ...options, known });
};

/** Ids are numbers in every source, kept as text. */
const id = (...paths: readonly string[]): Column => ({ ...reference(...paths), json: ['number'] });

/** The names of tags, plain (documented) or objects. */
const tagNames = column('text[]', (tags) => asTexts(tags, (tag) => asText(isObject(tag) ? tag.name : tag)), 'array');

const sourceApi = (api: TilkeeApiName): Column => column('text', () => api)();

const DATES_OR_FALSE = 'first_access_at last_sign_in_at';

/** The owner, else the leader, one whole person: an owner without an e-mail never gets that of the leader. */
function ownerOf(fields: JsonObject): JsonObject {
  const { owner, leader } = fields;
  if (isObject(owner)) return owner;
  const { email, first_name, last_name } = asObject(leader);
  const id = asId(owner);
  const leaderId = firstOf(asId, leader, fields.leader_id);
  if (id !== null && id !== leaderId) return { id };
  return {
    id: leaderId,
    email: email ?? fields.leader_email,
    first_name: first_name ?? fields.leader_first_name,
    last_name: last_name ?? fields.leader_last_name,
  };
}

const ownerText = (field: string): Column => column('text', (_, project) => asText(ownerOf(project)[field]))();

/** Statistics come from `data` (V3, and V2's detail) or lie flat in the row (V2's list). */
export const projectsOf = (api: TilkeeApiName) =>
  tilkeeTable(
    'projects',
    {
      source_api: sourceApi(api),
      name: text(),
      // `won` before 2020 (PHP).
      verdict: text('verdict', 'won'),
      is_template: flag(),
      signable: flag(),
      signed: flag('signed', 'data.signed'),
      // The last is PHP's spelling, perhaps a server's too.
      downloadable: flag('downloadable', 'can_be_downloaded', 'can_be_downladed'),
      favorite: flag('favorite', 'starred'),
      processed: flag(),
      tags: tagNames(),
      external_id: text(),
      owner_id: column('text', (_, project) => asId(ownerOf(project)))(),
      owner_email: ownerText('email'),
      owner_first_name: ownerText('first_name'),
      owner_last_name: ownerText('last_name'),
      theme_id: reference('theme_id', 'theme'),
      vcard_id: reference('vcard_id', 'vcard'),
      workspace_id: id(),
      duration: integer(),
      expiration_date: time('expiration_date', 'consultable_until'),
      status: text(),
      archived_at: time(),
      first_access_at: time('first_access_at', 'data.first_access_at'),
      last_sign_in_at: time('last_sign_in_at', 'data.last_sign_in_at'),
      total_time: bigint('total_time', 'data.total_time'),
      connections_count: integer('data.connections_count', 'nb_connections', 'data.nb_connections'),
      links_count: integer('data.links_count', 'tokens_count', 'data.nb_links'),
      items_count: integer('data.items_count', 'project_items_count', 'data.nb_items'),
      interest: number('interest', 'data.interest'),
      median_percentage_read: number('median_percentage_read', 'data.median_percentage_read'),
      data: object(),
    },
    {
      known: {
        string:
          'url iframe preview preview_new token_url duration pt_note pt_accuracy pt_won leader_avatar leader_email leader_first_name leader_last_name',
        // Dates are null or `false` without a visit (PHP).
        boolean: `notifications_enabled consultable alert_on can_edit won pt_won ${DATES_OR_FALSE} consultable_until`,
        number: `external_id leader_id theme_id vcard_id won pt_note pt_accuracy collaborators_count nb_used_as_template email_templates_count`,
        object: 'url iframe iframes owner leader theme vcard sharing_settings convert_status',
        array: 'email_cible collaborators',
      },
    },
  );

export const itemsOf = (api: TilkeeApiName) =>
  tilkeeTable(
    'items',
    {
      source_api: sourceApi(api),
      name: text('name', 'title'),
      owner_id: reference('user_id', 'owner'),
      owner_email: text('owner.email'),
      element_type: text(),
      extension: text(),
      type: text(),
      external_id: text(),
      tags: tagNames(),
      favorite: flag(),
      file_version: integer(),
      pages_count: integer('pages_count', 'num_pages'),
      processed: flag(),
      usable: flag(),
      visible: flag(),
      retention: flag(),
      retention_delay: integer(),
      projects_count: integer(),
      file_size: bigint(),
      replaced_at: time(),
    },
    {
      known: {
        string: 'url thumbnail_url thumbnail_page_url s3_url content_url',
        number: 'user_id external_id workspace_id',
        object: 'owner sharing_settings shared_attributes convert_status',
        array: 'projects images',
        anything: 'content',
      },
    },
  );

/** Links, V2 only. A row that does not name its project gets it from the list of one project. */
export const TOKENS = tilkeeTable(
  'tokens',
  {
    name: text(),
    project_id: reference('project_id', 'project'),
    project_name: text('project_name', 'project.name'),
    external_id: text(),
    // A text; SUG once compared it with 1, so numbers and booleans are legal and kept as written.
    won: text(),
    link: text(),
    preview_url: text(),
    consulted: flag(),
    signed: flag(),
    generated_by_prospect: flag(),
    signed_status: text(),
    signed_docs: list(),
    interest: number(),
    archived_at: time(),
    first_access_at: time(),
    last_sign_in_at: time('last_sign_in_at', 'last_signin'),
    total_time: bigint(),
    // Webhooks have connections_count.
    nb_connections: integer('nb_connections', 'connections_count'),
    nb_platforms: integer(),
    percentage_read: number(),
    percent_read: text(),
    downloaded: count(),
    creator_id: id(),
  },
  {
    attributed: ['project_id'],
    known: {
      boolean: `won ${DATES_OR_FALSE} last_signin`,
      number: 'project_id external_id won percent_read',
      object: 'project',
      anything: 'doc_more_seen download downloaded',
    },
  },
);

/** Visits, V2 only. No source shows link or project on one; where it does not, the request that found it has it. */
export const CONNEXIONS = tilkeeTable(
  'connexions',
  {
    title: text(),
    token_id: reference('token_id', 'token'),
    project_id: reference('project_id', 'project', 'token.project_id'),
    access_date: time(),
    total_time: bigint(),
    percentage_read: number(),
    // SUG stored it as an int.
    downloaded: count(),
    signed: flag(),
    new_person: flag(),
    platform_id: reference('platform_id', 'platform'),
    device_type: text('platform.device_type'),
    device_number: text('platform.device_number'),
    browser: text('platform.browser'),
    os: text('platform.os'),
    ip: text('platform.ip', 'ip'),
    user_agent: text('user_agent', 'platform.user_agent'),
    most_visited_time: bigint(),
    most_visited_title: text(),
    most_visited_id: id(),
  },
  {
    attributed: ['token_id', 'project_id'],
    known: {
      boolean: 'company_geoloc_activated',
      number: 'token_id project_id platform_id',
      object: 'token project platform',
    },
  },
);

/** Colleagues, V2 only; the only objects of Tilkee with a deletion time of their own. */
export const USERS = tilkeeTable(
  'users',
  {
    first_name: text(),
    last_name: text(),
    full_name: text(),
    email: text(),
    phone_number: text(),
    cell_phone_number: text(),
    contact_email: text(),
    level_id: id(),
    is_owner: flag(),
    can_see_stats: flag(),
    locale: text(),
    position: text(),
    company_id: reference('company_id', 'company'),
    company_name: text('company.name'),
    default_theme_id: id(),
    sf_id: id(),
    // Seconds since 1970 here, unlike everywhere else (PHP's example, MS2a's type).
    last_sign_in_at: column('timestamptz', asEpochSecondsTime, 'number')(),
  },
  {
    deletedAt: ({ deleted_at }) => asTime(deleted_at),
    known: {
      string: 'deleted_at support_end_date avatar linkedin_account_url twitter_account_url facebook_account_url sf_id',
      boolean: 'should_receive_emails',
      number: 'company_id',
      object: 'profile location company',
      array: 'devices rights vcards',
    },
  },
);
