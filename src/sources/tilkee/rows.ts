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
import * as field from '../record-table.ts';
import type { TilkeeApiName } from './parts.ts';

/**
 * The tables of both APIs in one shape, under V3's names. A field is looked for under every name that any source gives
 * it, whichever API answered, and all types are known: servers of different years mix them. Short names of the sources
 * as in `privacy.ts`.
 */
const tilkeeTable = (
  name: string,
  columns: Readonly<Record<string, field.Column>>,
  options: field.RecordTableOptions = {},
) => {
  const known = { ...options.known, number: `id ${options.known?.number ?? ''}`.trim() };
  const dates = { created_at: field.time(), updated_at: field.time() };
  return field.defineTable(['tilkee', name, 'id'], { ...columns, ...dates }, { ...options, known });
};

/** Ids are numbers in every source, kept as text. */
const id = (...paths: readonly string[]): field.Column => ({ ...field.reference(...paths), json: ['number'] });

/** The names of tags, plain (documented) or objects. */
const tagNames = field.column(
  'text[]',
  (tags) => asTexts(tags, (tag) => asText(isObject(tag) ? tag.name : tag)),
  'array',
);

const sourceApi = (api: TilkeeApiName): field.Column => field.column('text', () => api)();

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

const ownerText = (name: string): field.Column =>
  field.column('text', (_, project) => asText(ownerOf(project)[name]))();

/** Statistics come from `data` (V3, and V2's detail) or lie flat in the row (V2's list). */
export const projectsOf = (api: TilkeeApiName) =>
  tilkeeTable(
    'projects',
    {
      source_api: sourceApi(api),
      name: field.text(),
      // `won` before 2020 (PHP).
      verdict: field.text('verdict', 'won'),
      is_template: field.flag(),
      signable: field.flag(),
      signed: field.flag('signed', 'data.signed'),
      // The last is PHP's spelling, perhaps a server's too.
      downloadable: field.flag('downloadable', 'can_be_downloaded', 'can_be_downladed'),
      favorite: field.flag('favorite', 'starred'),
      processed: field.flag(),
      tags: tagNames(),
      external_id: field.text(),
      owner_id: field.column('text', (_, project) => asId(ownerOf(project)))(),
      owner_email: ownerText('email'),
      owner_first_name: ownerText('first_name'),
      owner_last_name: ownerText('last_name'),
      theme_id: field.reference('theme_id', 'theme'),
      vcard_id: field.reference('vcard_id', 'vcard'),
      workspace_id: id(),
      duration: field.integer(),
      expiration_date: field.time('expiration_date', 'consultable_until'),
      status: field.text(),
      archived_at: field.time(),
      first_access_at: field.time('first_access_at', 'data.first_access_at'),
      last_sign_in_at: field.time('last_sign_in_at', 'data.last_sign_in_at'),
      total_time: field.bigint('total_time', 'data.total_time'),
      connections_count: field.integer('data.connections_count', 'nb_connections', 'data.nb_connections'),
      links_count: field.integer('data.links_count', 'tokens_count', 'data.nb_links'),
      items_count: field.integer('data.items_count', 'project_items_count', 'data.nb_items'),
      interest: field.number('interest', 'data.interest'),
      median_percentage_read: field.number('median_percentage_read', 'data.median_percentage_read'),
      data: field.object(),
    },
    {
      tracked: 'verdict status archived_at owner_id',
      impersonal: 'source_api verdict status owner_id theme_id workspace_id',
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
      name: field.text('name', 'title'),
      owner_id: field.reference('user_id', 'owner'),
      owner_email: field.text('owner.email'),
      element_type: field.text(),
      extension: field.text(),
      type: field.text(),
      external_id: field.text(),
      tags: tagNames(),
      favorite: field.flag(),
      file_version: field.integer(),
      pages_count: field.integer('pages_count', 'num_pages'),
      processed: field.flag(),
      usable: field.flag(),
      visible: field.flag(),
      retention: field.flag(),
      retention_delay: field.integer(),
      projects_count: field.integer(),
      file_size: field.bigint(),
      replaced_at: field.time(),
    },
    {
      impersonal: 'source_api owner_id element_type extension type',
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
    name: field.text(),
    project_id: field.reference('project_id', 'project'),
    project_name: field.text('project_name', 'project.name'),
    external_id: field.text(),
    // A text; SUG once compared it with 1, so numbers and booleans are legal and kept as written.
    won: field.text(),
    link: field.text(),
    preview_url: field.text(),
    consulted: field.flag(),
    signed: field.flag(),
    generated_by_prospect: field.flag(),
    signed_status: field.text(),
    signed_docs: field.list(),
    interest: field.number(),
    archived_at: field.time(),
    first_access_at: field.time(),
    last_sign_in_at: field.time('last_sign_in_at', 'last_signin'),
    total_time: field.bigint(),
    // Webhooks have connections_count.
    nb_connections: field.integer('nb_connections', 'connections_count'),
    nb_platforms: field.integer(),
    percentage_read: field.number(),
    percent_read: field.text(),
    downloaded: field.count(),
    creator_id: id(),
  },
  {
    attributed: ['project_id'],
    tracked: 'won signed signed_status consulted interest nb_connections total_time percentage_read archived_at',
    impersonal: 'signed_status creator_id',
    personal: {
      kept: 'project_id won signed consulted first_access_at total_time nb_connections percentage_read'.split(' '),
      isPerson: true,
      addresses: ['external_id', 'name'],
      numbers: ['external_id', 'name'],
      refersTo: { external_id: 'tiledesk.leads' },
      links: ['external_id'],
    },
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
    title: field.text(),
    token_id: field.reference('token_id', 'token'),
    project_id: field.reference('project_id', 'project', 'token.project_id'),
    access_date: field.time(),
    total_time: field.bigint(),
    percentage_read: field.number(),
    // SUG stored it as an int.
    downloaded: field.count(),
    signed: field.flag(),
    new_person: field.flag(),
    platform_id: field.reference('platform_id', 'platform'),
    device_type: field.text('platform.device_type'),
    device_number: field.text('platform.device_number'),
    browser: field.text('platform.browser'),
    os: field.text('platform.os'),
    ip: field.text('platform.ip', 'ip'),
    user_agent: field.text('user_agent', 'platform.user_agent'),
    most_visited_time: field.bigint(),
    most_visited_title: field.text(),
    most_visited_id: id(),
  },
  {
    attributed: ['token_id', 'project_id'],
    impersonal: 'device_type',
    personal: {
      kept: ['token_id', 'project_id', 'access_date', 'total_time', 'percentage_read'],
      // The title of a visit is often the label of its link: the recipient.
      addresses: ['title'],
      numbers: ['title'],
      refersTo: { token_id: 'tilkee.tokens', 'raw.token.id': 'tilkee.tokens' },
      links: ['token_id', 'token', 'title'],
      contact: { by: 'token_id', at: 'access_date', isVisit: true },
    },
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
    first_name: field.text(),
    last_name: field.text(),
    full_name: field.text(),
    email: field.text(),
    phone_number: field.text(),
    cell_phone_number: field.text(),
    contact_email: field.text(),
    level_id: id(),
    is_owner: field.flag(),
    can_see_stats: field.flag(),
    locale: field.text(),
    position: field.text(),
    company_id: field.reference('company_id', 'company'),
    company_name: field.text('company.name'),
    default_theme_id: id(),
    sf_id: id(),
    // Seconds since 1970 here, unlike everywhere else (PHP's example, MS2a's type).
    last_sign_in_at: field.column('timestamptz', asEpochSecondsTime, 'number')(),
  },
  {
    impersonal: 'level_id locale company_id',
    deletedAt: ({ deleted_at }) => asTime(deleted_at),
    personal: { colleague: ['first_name', 'last_name'] },
    known: {
      string: 'deleted_at support_end_date avatar linkedin_account_url twitter_account_url facebook_account_url sf_id',
      boolean: 'should_receive_emails',
      number: 'company_id',
      object: 'profile location company',
      array: 'devices rights vcards',
    },
  },
);
