/** How V2 shows what is stored. Fields and types follow the published samples, their inconsistencies included. */
import { Random } from './random.ts';
import type { TilkeeData } from './tilkee-data.ts';
import {
  linkCanary,
  type TilkeeItem,
  type TilkeeProject,
  type TilkeeToken,
  type TilkeeVisit,
  v2Time,
  visitorCanary,
} from './tilkee-documents.ts';
import { avatarOf, v2Leader } from './tilkee-v2-accounts.ts';
import { type Row, themeOf } from './tilkee-v3-rows.ts';

const timeOrNull = (at: number | null): string | null => (at === null ? null : v2Time(at));
const link = (kind: string, id: number): string => `https://link.example.com/v/${linkCanary}${kind}-${id}`;

function projectData(data: TilkeeData, project: TilkeeProject): Row {
  const stats = data.projectStats(project.id);
  return {
    id: project.id + 500_000,
    project_id: project.id,
    total_time: stats.totalTime,
    signed: stats.signed,
    last_sign_in_at: timeOrNull(stats.lastAt),
    nb_connections: stats.visits,
    is_or_was_signable: project.signable,
    pt_note: null,
    pt_accuracy: null,
    pt_won: null,
    first_access_at: timeOrNull(stats.firstAt),
    nb_links: stats.links,
    nb_links_by_prospect: stats.linksByProspect,
    most_visited_item_id: stats.mostVisitedItemId,
    most_visited_time: stats.mostVisitedTime,
    median_percentage_read: stats.percentageRead / 2,
    nb_platforms: stats.platforms,
    nb_phones_platform: stats.phones,
    nb_computers_platform: stats.computers,
    nb_tokens_consulted: stats.readLinks,
    nb_items: project.item_ids.length,
    last_created_token_at: timeOrNull(stats.lastLinkAt),
    clicked_links_count: 0,
    interest: stats.interest,
  };
}

function commonProject(data: TilkeeData, project: TilkeeProject): Row {
  const { id } = project;
  const stats = data.projectStats(id);
  return {
    id,
    name: project.name,
    // The other API's `unset` has no word here.
    verdict: project.verdict === 'unset' ? 'na' : project.verdict,
    is_template: project.is_template,
    can_be_downloaded: project.downloadable,
    starred: project.favorite,
    signed: stats.signed,
    signable: project.signable,
    consultable: project.archived_at === null,
    alert_on: project.notifications_enabled,
    can_edit: true,
    preview_new: link('preview-new', id),
    // Rows of an older server.
    ...(id % 3 === 0 && { preview: link('preview', id), token_url: link('token-url', id) }),
    url: link('authentication', id),
    duration: project.duration,
    external_id: project.external_id,
    tags: project.tags,
    pt_note: null,
    pt_accuracy: null,
    pt_won: null,
    interest: stats.interest,
    vcard_id: project.vcard_id,
    workspace_id: 1,
    email_cible: project.email_cible,
    created_at: v2Time(project.created_at),
    updated_at: v2Time(project.updated_at),
    consultable_until: timeOrNull(project.expires_at),
    last_sign_in_at: timeOrNull(stats.lastAt),
    first_access_at: timeOrNull(stats.firstAt),
    archived_at: project.archived_at === null ? null : v2Time(project.archived_at).slice(0, 10),
    status: project.archived_at === null ? 'activated' : 'archived',
    collaborators_count: project.shared_user_ids.length,
    nb_connections: stats.visits,
    total_time: stats.totalTime,
    tokens_count: stats.links,
    project_items_count: project.item_ids.length,
    nb_used_as_template: 0,
    email_templates_count: 0,
    convert_status: { complete_base: project.processed, complete_full: project.processed },
    data: projectData(data, project),
  };
}

export function v2ProjectRow(data: TilkeeData, project: TilkeeProject): Row {
  const leader = data.get('user', project.owner_id);
  return {
    ...commonProject(data, project),
    leader_id: project.owner_id,
    leader_first_name: leader?.first_name ?? null,
    leader_last_name: leader?.last_name ?? null,
    leader_email: leader?.email ?? null,
    leader_avatar: avatarOf(project.owner_id),
  };
}

export function v2ProjectDetail(data: TilkeeData, project: TilkeeProject): Row {
  const leader = data.get('user', project.owner_id);
  const iframe = (kind: string): string => link(`iframe-${kind}`, project.id);
  const iframes = ['project', 'tokens', 'stats'].flatMap((kind) => [
    [kind, iframe(kind)],
    [`${kind}_escape`, encodeURIComponent(iframe(kind))],
  ]);
  return {
    ...commonProject(data, project),
    leader: leader ? v2Leader(leader) : null,
    collaborators: project.shared_user_ids.map((id) => ({ id })),
    theme: { ...themeOf(project.theme_id, v2Time), default: false, subdomain: null, workspace_id: 1 },
    iframe: iframe('single'),
    iframes: Object.fromEntries(iframes),
  };
}

export function v2Token(data: TilkeeData, token: TilkeeToken): Row {
  const { id } = token;
  const stats = data.tokenStats(id);
  return {
    id,
    name: token.name,
    link: link('link', id),
    project_id: token.project_id,
    project_name: data.get('project', token.project_id)?.name ?? null,
    external_id: token.external_id,
    won: token.won,
    created_at: v2Time(token.created_at),
    archived_at: timeOrNull(token.archived_at),
    consulted: stats.visits > 0,
    signed: stats.signed,
    generated_by_prospect: token.generated_by_prospect,
    signed_status: token.signed_status,
    signed_docs: stats.signed ? [{ id: id + 900_000 }] : [],
    interest: stats.interest,
    preview_url: id % 2 === 0 ? link('preview-url', id) : null,
    first_access_at: timeOrNull(stats.firstAt),
    last_sign_in_at: timeOrNull(stats.lastAt),
    total_time: stats.totalTime,
    nb_connections: stats.visits,
    nb_platforms: stats.platforms,
    percentage_read: stats.percentageRead,
    downloaded: stats.downloaded,
    creator_id: token.creator_id,
  };
}

function attribution(data: TilkeeData, visit: TilkeeVisit): Row {
  const token = data.get('token', visit.token_id);
  const project = { id: token?.project_id ?? null, name: data.get('project', token?.project_id ?? 0)?.name ?? null };
  switch (data.switches.visitsName) {
    case 'none':
      return {};
    case 'token_id':
      return { token_id: visit.token_id };
    case 'token_object':
      return { token: { id: visit.token_id, name: token?.name ?? null, link: link('link', visit.token_id) } };
    case 'project_object':
      return { project };
    case 'both':
      return { token_id: visit.token_id, project };
    default:
      throw new Error(`Unknown switch ${data.switches.visitsName satisfies never}`);
  }
}

export function v2Connexion(data: TilkeeData, visit: TilkeeVisit): Row {
  const { id } = visit;
  const itemId = visit.most_visited_item_id;
  return {
    id,
    title: data.get('token', visit.token_id)?.name ?? null,
    access_date: v2Time(visit.access_date),
    created_at: v2Time(visit.created_at),
    total_time: visit.total_time,
    percentage_read: visit.percentage_read,
    downloaded: visit.downloaded,
    signed: visit.signed,
    new_person: visit.new_person,
    user_agent: `Mozilla/5.0 (${visit.os}) ${visitorCanary}agent-${id}`,
    platform_id: visit.platform_id,
    platform: {
      device_type: visit.device_type,
      device_number: 1,
      browser: visit.browser,
      os: visit.os,
      ip: `${visitorCanary}ip-${id}`,
    },
    most_visited_time: Math.floor(visit.total_time / 2),
    most_visited_title: itemId === null ? null : (data.get('item', itemId)?.name ?? null),
    most_visited_id: itemId,
    ...attribution(data, visit),
  };
}

/** What was read in one visit, document by document; the times add up to the visit's. */
export function v2ConnexionDetail(data: TilkeeData, visit: TilkeeVisit): Row[] {
  const random = new Random(visit.id);
  const project = data.get('project', data.get('token', visit.token_id)?.project_id ?? 0);
  const itemIds = project?.item_ids ?? [];
  let left = visit.total_time;
  return itemIds.map((itemId, place) => {
    const item = data.get('item', itemId);
    const isLast = place === itemIds.length - 1;
    const time = isLast ? left : random.int(0, left);
    left -= time;
    const isNested = random.chance(0.5);
    return {
      created_at: v2Time(visit.created_at + place * 1000),
      title: isNested ? '' : (item?.name ?? ''),
      content_url: link('content', itemId),
      total_time: time,
      item: { title: item?.name ?? null },
      ...(item?.pages_count && { pages: [{ page: 1, time }] }),
    };
  });
}

export function v2Item(data: TilkeeData, item: TilkeeItem): Row {
  const { id } = item;
  const owner = data.get('user', item.owner_id);
  const projects = data.projectsWith(id).map(({ id: projectId, name, is_template }) => ({
    id: projectId,
    name,
    is_template,
  }));
  return {
    id,
    title: item.name,
    usable: item.processed,
    element_type: item.element_type,
    extension: item.extension,
    type: 'Item',
    external_id: item.external_id,
    tags: item.tags,
    favorite: item.favorite,
    file_version: item.file_version,
    num_pages: item.pages_count,
    visible: true,
    thumbnail_url: link('thumbnail', id),
    thumbnail_page_url: link('thumbnail-page', id),
    created_at: v2Time(item.created_at),
    updated_at: v2Time(item.updated_at),
    replaced_at: timeOrNull(item.replaced_at),
    s3_url: link('s3', id),
    content_url: link('content', id),
    content: null,
    convert_status: { complete_base: item.processed, complete_full: item.processed, status: [] },
    owner: owner
      ? {
          id: owner.id,
          first_name: owner.first_name,
          last_name: owner.last_name,
          email: owner.email,
          avatar: avatarOf(owner.id),
        }
      : null,
    projects,
    projects_count: projects.length,
    workspace_id: 1,
    file_size: null,
  };
}
