/** How V2 shows what is stored. Fields and types follow the published samples, their inconsistencies included. */
import { Random } from './random.ts';
import type { TilkeeItem, TilkeeProject, TilkeeToken, TilkeeUser, TilkeeVisit } from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';
import * as rows from './tilkee-rows.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

const timesOf = (stored: object, names: string): rows.TilkeeRow => rows.timesOf(stored, names, rows.v2Time);
const link = (kind: string, id: number): string => `https://link.example.com/v/${rows.linkCanary}${kind}-${id}`;

const linksOf = (id: number, names: string): rows.TilkeeRow =>
  Object.fromEntries(names.split(' ').map((name) => [name, link(name, id)]));
const secretsOf = (id: number, names: string): rows.TilkeeRow =>
  Object.fromEntries(names.split(' ').map((name) => [name, `${rows.secretCanary}${name}-${id}`]));

const noScores = { pt_note: null, pt_accuracy: null, pt_won: null };

/** What users and leaders have in common. `last_sign_in_at` is in seconds here, unlike everywhere else. */
function account(user: TilkeeUser): rows.TilkeeRow {
  const { id, first_name, last_name, last_sign_in_at: signedInAt } = user;
  return {
    ...rows.fieldsOf(user, 'id first_name last_name email contact_email=email level_id is_owner locale position'),
    full_name: `${first_name} ${last_name}`,
    phone_number: null,
    cell_phone_number: `+3300000${String(id).padStart(4, '0')}`,
    can_see_stats: true,
    avatar: rows.avatarOf(id),
    linkedin_account_url: null,
    last_sign_in_at: signedInAt === null ? null : Math.floor(signedInAt / 1000),
    ...secretsOf(id, 'referral_token convert_token support_chat_token support_chat_id payment_hint password_hint'),
  };
}

const companyOf = (id: number): rows.TilkeeRow => ({
  id: 3,
  name: 'Example Ltd',
  users_to_charge_counter: 6,
  company_rights: ['stats'],
  nb_employees: null,
  default_theme_id: 10,
  usable_domains: ['example.com'],
  geoloc_activate: false,
  custom_branding: false,
  ...secretsOf(id, 'api_key subscription_token'),
});

export function v2User(user: TilkeeUser): rows.TilkeeRow {
  return {
    ...account(user),
    should_receive_emails: true,
    support_end_date: '2030-12-31',
    devices: [],
    ...timesOf(user, 'password_changed_at=created_at created_at updated_at deleted_at'),
    sf_id: null,
    default_theme_id: 10,
    rights: ['create_project', 'see_stats'],
    profile: { id: user.id + 40, csv_rate_limit: 10 },
    location: { id: user.id + 70, address: null, postal_code: null, city: 'Nowhere', country: 'France' },
    company: companyOf(user.id),
  };
}

const storedOfStats =
  'total_time signed most_visited_item_id most_visited_time interest nb_connections=visits nb_links=links ' +
  'nb_links_by_prospect=linksByProspect nb_platforms=platforms nb_phones_platform=phones ' +
  'nb_computers_platform=computers nb_tokens_consulted=readLinks';

function projectData(data: TilkeeData, project: TilkeeProject): rows.TilkeeRow {
  const stats = data.projectStats(project.id);
  return {
    ...rows.fieldsOf(stats, storedOfStats),
    ...timesOf(stats, 'last_sign_in_at=lastAt first_access_at=firstAt last_created_token_at=lastLinkAt'),
    ...noScores,
    id: project.id + 500_000,
    project_id: project.id,
    is_or_was_signable: project.signable,
    median_percentage_read: stats.percentage_read / 2,
    nb_items: project.item_ids.length,
    clicked_links_count: 0,
  };
}

const storedOfProject =
  'id name is_template signable duration external_id tags vcard_id email_cible can_be_downloaded=downloadable ' +
  'starred=favorite alert_on=notifications_enabled';

function commonProject(data: TilkeeData, project: TilkeeProject): rows.TilkeeRow {
  const { id, archived_at: archivedAt } = project;
  const stats = data.projectStats(id);
  return {
    ...rows.fieldsOf(project, storedOfProject),
    ...rows.fieldsOf(stats, 'signed interest total_time nb_connections=visits tokens_count=links'),
    ...timesOf(project, 'created_at updated_at consultable_until=expires_at'),
    ...timesOf(stats, 'last_sign_in_at=lastAt first_access_at=firstAt'),
    ...noScores,
    // The other API's `unset` has no value here.
    verdict: project.verdict === 'unset' ? 'na' : project.verdict,
    consultable: archivedAt === null,
    can_edit: true,
    // Some rows are of an older server.
    ...linksOf(id, id % 3 === 0 ? 'preview_new url preview token_url' : 'preview_new url'),
    workspace_id: 1,
    archived_at: archivedAt === null ? null : rows.v2Time(archivedAt).slice(0, 10),
    status: archivedAt === null ? 'activated' : 'archived',
    collaborators_count: project.shared_user_ids.length,
    project_items_count: project.item_ids.length,
    nb_used_as_template: 0,
    email_templates_count: 0,
    convert_status: { complete_base: project.processed, complete_full: project.processed },
    data: projectData(data, project),
  };
}

export function v2ProjectRow(data: TilkeeData, project: TilkeeProject): rows.TilkeeRow {
  const leader = data.get('user', project.owner_id);
  return {
    ...commonProject(data, project),
    leader_id: project.owner_id,
    leader_first_name: leader?.first_name ?? null,
    leader_last_name: leader?.last_name ?? null,
    leader_email: leader?.email ?? null,
    leader_avatar: rows.avatarOf(project.owner_id),
  };
}

export function v2ProjectDetail(data: TilkeeData, project: TilkeeProject): rows.TilkeeRow {
  const leader = data.get('user', project.owner_id);
  const iframe = (kind: string): string => link(`iframe-${kind}`, project.id);
  const iframes = ['project', 'tokens', 'stats'].flatMap((kind) => [
    [kind, iframe(kind)],
    [`${kind}_escape`, encodeURIComponent(iframe(kind))],
  ]);
  return {
    ...commonProject(data, project),
    leader: leader ? { ...account(leader), vcards: [] } : null,
    collaborators: project.shared_user_ids.map((id) => ({ id })),
    theme: { ...rows.themeOf(project.theme_id, rows.v2Time), default: false, subdomain: null, workspace_id: 1 },
    iframe: iframe('single'),
    iframes: Object.fromEntries(iframes),
  };
}

export function v2Token(data: TilkeeData, token: TilkeeToken): rows.TilkeeRow {
  const { id } = token;
  const stats = data.tokenStats(id);
  return {
    ...rows.fieldsOf(token, 'id name project_id external_id won generated_by_prospect signed_status creator_id'),
    ...rows.fieldsOf(
      stats,
      'signed interest total_time percentage_read downloaded nb_connections=visits nb_platforms=platforms',
    ),
    ...timesOf(token, 'created_at archived_at'),
    ...timesOf(stats, 'first_access_at=firstAt last_sign_in_at=lastAt'),
    ...linksOf(id, 'link'),
    project_name: data.get('project', token.project_id)?.name ?? null,
    consulted: stats.visits > 0,
    signed_docs: stats.signed ? [{ id: id + 900_000 }] : [],
    preview_url: id % 2 === 0 ? link('preview-url', id) : null,
  };
}

const attributions: Readonly<
  Record<TilkeeSwitches['visitsName'], (data: TilkeeData, visit: TilkeeVisit) => rows.TilkeeRow>
> = {
  none: () => ({}),
  token_id: (_data, { token_id }) => ({ token_id }),
  token_object: (data, { token_id: id }) => {
    return { token: { id, name: data.get('token', id)?.name ?? null, link: link('link', id) } };
  },
  project_object: (data, { token_id }) => {
    const token = data.get('token', token_id);
    const { id = null, name = null } = data.get('project', token?.project_id ?? 0) ?? { id: token?.project_id };
    return { project: { id, name } };
  },
  both: (data, visit) => ({ token_id: visit.token_id, ...attributions.project_object(data, visit) }),
};

const storedOfVisit =
  'id total_time percentage_read downloaded signed new_person platform_id most_visited_id=most_visited_item_id';

export function v2Connexion(data: TilkeeData, visit: TilkeeVisit): rows.TilkeeRow {
  const { id, most_visited_item_id: itemId } = visit;
  const ip = `${rows.visitorCanary}ip-${id}`;
  return {
    ...rows.fieldsOf(visit, storedOfVisit),
    title: data.get('token', visit.token_id)?.name ?? null,
    ...timesOf(visit, 'access_date created_at'),
    user_agent: `Mozilla/5.0 (${visit.os}) ${rows.visitorCanary}agent-${id}`,
    platform: { ...rows.fieldsOf(visit, 'device_type browser os'), device_number: 1, ip },
    most_visited_time: Math.floor(visit.total_time / 2),
    most_visited_title: itemId === null ? null : (data.get('item', itemId)?.name ?? null),
    ...attributions[data.switches.visitsName](data, visit),
  };
}

/** What was read in one visit, document by document; the times add up to the visit's. */
export function v2ConnexionDetail(data: TilkeeData, visit: TilkeeVisit): rows.TilkeeRow[] {
  const random = new Random(visit.id);
  const project = data.get('project', data.get('token', visit.token_id)?.project_id ?? 0);
  const itemIds = project?.item_ids ?? [];
  let left = visit.total_time;
  return itemIds.map((itemId, index) => {
    const item = data.get('item', itemId);
    const isLast = index === itemIds.length - 1;
    const time = isLast ? left : random.int(0, left);
    left -= time;
    const isNested = random.chance(0.5);
    return {
      created_at: rows.v2Time(visit.created_at + index * 1000),
      title: isNested ? '' : (item?.name ?? ''),
      content_url: link('content', itemId),
      total_time: time,
      item: { title: item?.name ?? null },
      ...(item?.pages_count && { pages: [{ page: 1, time }] }),
    };
  });
}

const storedOfItem =
  'id title=name element_type extension external_id tags favorite file_version usable=processed num_pages=pages_count';

export function v2Item(data: TilkeeData, item: TilkeeItem): rows.TilkeeRow {
  const { id, processed } = item;
  const projects = data.projectsWith(id).map((project) => rows.fieldsOf(project, 'id name is_template'));
  return {
    ...rows.fieldsOf(item, storedOfItem),
    ...timesOf(item, 'created_at updated_at replaced_at'),
    type: 'Item',
    visible: true,
    ...linksOf(id, 'thumbnail_url thumbnail_page_url s3_url content_url'),
    content: null,
    convert_status: { complete_base: processed, complete_full: processed, status: [] },
    owner: rows.shortUser(data.get('user', item.owner_id)),
    projects,
    projects_count: projects.length,
    workspace_id: 1,
    file_size: null,
  };
}
