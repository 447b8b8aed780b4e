import type { TilkeeItem, TilkeeProject } from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';
import { fieldsOf, linkCanary, shortUser, type TilkeeRow, themeOf, timesOf, v3Time } from './tilkee-rows.ts';

export type Expand = ReadonlySet<string>;

export const projectExpansions = ['tags', 'owner', 'sharing_settings', 'vcard', 'theme', 'data', 'iframe'];
export const itemExpansions = ['tags', 'owner', 'images', 'sharing_settings', 'projects'];

const timeOf =
  ({ switches }: TilkeeData) =>
  (at: number): string =>
    v3Time(at, switches.v3TimesHaveOffset);

const storedOfStats =
  'total_time signed most_visited_item_id interest connections_count=visits links_count=links ' +
  'links_by_prospect_count=linksByProspect platforms_count=platforms phones_platform_count=phones ' +
  'computers_platform_count=computers tokens_consulted_count=readLinks';

function projectData(data: TilkeeData, project: TilkeeProject): TilkeeRow {
  const stats = data.projectStats(project.id);
  const pages = project.item_ids.map((id) => data.get('item', id)?.pages_count ?? 0);
  return {
    ...fieldsOf(stats, storedOfStats),
    ...timesOf(stats, 'first_access_at=firstAt', timeOf(data)),
    most_visited_time: String(stats.most_visited_time),
    median_percentage_read: stats.percentage_read / 2,
    median_nb_pages_readed: 2.5,
    median_time_before_opening: 0,
    avg_time_between_first_last: (stats.lastAt ?? 0) - (stats.firstAt ?? 0),
    median_time_to_download: 0,
    median_time_read: stats.visits === 0 ? 0 : stats.total_time / stats.visits,
    others_platform_count: stats.visits - stats.phones - stats.computers,
    items_count: project.item_ids.length,
    pages_count: pages.reduce((sum, one) => sum + one, 0),
    connexions_failed_count: 0,
    used_as_template_count: 0,
    clicked_links_count: 0,
  };
}

const storedOfProject =
  'id name signable processed downloadable external_id notifications_enabled email_cible theme_id vcard_id ' +
  'is_template verdict favorite duration';

function lightProject(data: TilkeeData, project: TilkeeProject, expand: Expand): TilkeeRow {
  return {
    ...fieldsOf(project, storedOfProject),
    ...timesOf(project, 'created_at updated_at expiration_date=expires_at', timeOf(data)),
    url: { project: `https://app.example.com/project/${project.id}` },
    signed: data.projectStats(project.id).signed,
    tags: expand.has('tags') ? project.tags : [],
    ...(expand.has('sharing_settings') && { sharing_settings: { user_ids: project.shared_user_ids } }),
  };
}

export function v3Project(data: TilkeeData, project: TilkeeProject, expand: Expand): TilkeeRow {
  const time = timeOf(data);
  const { theme_id: themeId, vcard_id: id } = project;
  const embedded = `https://app.example.com/embed/${linkCanary}iframe-${project.id}`;
  const created = { created_at: time(Date.UTC(2020, 0, 15, 9)) };
  const vcard = id === null ? null : { id, ...created, default: id === 1, name: `Card ${id}`, company_name: null };
  return {
    ...lightProject(data, project, expand),
    ...(expand.has('owner') && { owner: shortUser(data.get('user', project.owner_id)) }),
    ...(expand.has('data') && { data: projectData(data, project) }),
    ...(expand.has('theme') && { theme: { ...themeOf(themeId, time), sign_provider: 'Tilkee' } }),
    ...(expand.has('vcard') && { vcard }),
    ...(expand.has('iframe') && { iframe: { project: embedded, stats: `${embedded}-stats` } }),
  };
}

function imagesOf(item: TilkeeItem): TilkeeRow[] {
  return Array.from({ length: Math.min(2, item.pages_count ?? 0) }, (_, page) => {
    const url = `https://img.example.com/${linkCanary}page-${item.id}-${page + 1}`;
    const size = { links: [], width: 595, height: 842, forms: [] };
    return { pagenum: page + 1, url: `${url}.png`, thumbnail_url: `${url}-small.png`, data: size };
  });
}

const storedOfItem =
  'id name external_id favorite element_type extension file_version processed retention retention_delay pages_count ' +
  'user_id=owner_id';

export function v3Item(data: TilkeeData, item: TilkeeItem, expand: Expand): TilkeeRow {
  const placedIn = () => data.projectsWith(item.id).map((project) => lightProject(data, project, new Set()));
  return {
    ...fieldsOf(item, storedOfItem),
    ...timesOf(item, 'created_at updated_at replaced_at', timeOf(data)),
    tags: expand.has('tags') ? item.tags : [],
    url: `https://files.example.com/${linkCanary}item-${item.id}`,
    ...(expand.has('sharing_settings') && { sharing_settings: { user_ids: [], all: false, team: true } }),
    ...(expand.has('projects') && { projects: placedIn() }),
    ...(expand.has('owner') && { owner: shortUser(data.get('user', item.owner_id)) }),
    ...(expand.has('images') && { images: imagesOf(item) }),
  };
}
