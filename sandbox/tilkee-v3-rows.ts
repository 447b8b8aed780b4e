/** How V3 shows what is stored, and the oddities of single fields that both APIs may show. */
import type { TilkeeData } from './tilkee-data.ts';
import { linkCanary, type TilkeeItem, type TilkeeProject, type TilkeeUser, v3Time } from './tilkee-documents.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

export type Row = Record<string, unknown>;
export type Expand = ReadonlySet<string>;

export const projectExpansions = ['tags', 'owner', 'sharing_settings', 'vcard', 'theme', 'data', 'iframe'] as const;
export const itemExpansions = ['tags', 'owner', 'images', 'sharing_settings', 'projects'] as const;

const avatarOf = (user: TilkeeUser): string | null =>
  user.id % 2 === 0 ? `https://img.example.com/avatars/${user.id}.png` : null;

export function v3User(user: TilkeeUser | undefined): Row | null {
  if (!user) return null;
  const { id, email, first_name, last_name } = user;
  return { id, email, first_name, last_name, avatar: avatarOf(user) };
}

type Times = (at: number) => string;
const timesOf =
  ({ switches }: TilkeeData): Times =>
  (at) =>
    v3Time(at, switches.v3TimesHaveOffset);

const timeOrNull = (time: Times, at: number | null): string | null => (at === null ? null : time(at));

function projectData(data: TilkeeData, project: TilkeeProject): Row {
  const stats = data.projectStats(project.id);
  const pages = project.item_ids.map((id) => data.get('item', id)?.pages_count ?? 0);
  return {
    total_time: stats.totalTime,
    signed: stats.signed,
    connections_count: stats.visits,
    first_access_at: timeOrNull(timesOf(data), stats.firstAt),
    links_count: stats.links,
    links_by_prospect_count: stats.linksByProspect,
    most_visited_item_id: stats.mostVisitedItemId,
    most_visited_time: String(stats.mostVisitedTime),
    median_percentage_read: stats.percentageRead / 2,
    median_nb_pages_readed: 2.5,
    median_time_before_opening: 0,
    avg_time_between_first_last: (stats.lastAt ?? 0) - (stats.firstAt ?? 0),
    median_time_to_download: 0,
    median_time_read: stats.visits === 0 ? 0 : stats.totalTime / stats.visits,
    platforms_count: stats.platforms,
    phones_platform_count: stats.phones,
    computers_platform_count: stats.computers,
    others_platform_count: stats.visits - stats.phones - stats.computers,
    tokens_consulted_count: stats.readLinks,
    items_count: project.item_ids.length,
    pages_count: pages.reduce((sum, one) => sum + one, 0),
    connexions_failed_count: 0,
    used_as_template_count: 0,
    clicked_links_count: 0,
    interest: stats.interest,
  };
}

export function themeOf(id: number, time: Times): Row {
  const at = time(Date.UTC(2020, 0, 15, 9));
  const colors = { main_color: '#0a64a0', secondary_color: '#ffffff', text_color: '#222222' };
  return { id, name: `Theme ${id}`, ...colors, created_at: at, updated_at: at, logo: null, downloadable: true };
}

function vcardOf(id: number | null, time: Times): Row | null {
  if (id === null) return null;
  return { id, created_at: time(Date.UTC(2020, 0, 15, 9)), default: id === 1, name: `Card ${id}`, company_name: null };
}

function lightProject(data: TilkeeData, project: TilkeeProject, expand: Expand): Row {
  const time = timesOf(data);
  return {
    id: project.id,
    name: project.name,
    created_at: time(project.created_at),
    updated_at: time(project.updated_at),
    url: { project: `https://app.example.com/project/${project.id}` },
    signable: project.signable,
    signed: data.projectStats(project.id).signed,
    processed: project.processed,
    downloadable: project.downloadable,
    expiration_date: timeOrNull(time, project.expires_at),
    tags: expand.has('tags') ? project.tags : [],
    external_id: project.external_id,
    ...(expand.has('sharing_settings') && { sharing_settings: { user_ids: project.shared_user_ids } }),
    notifications_enabled: project.notifications_enabled,
    email_cible: project.email_cible,
    theme_id: project.theme_id,
    vcard_id: project.vcard_id,
    is_template: project.is_template,
    verdict: project.verdict,
    favorite: project.favorite,
    duration: project.duration,
  };
}

export function v3Project(data: TilkeeData, project: TilkeeProject, expand: Expand): Row {
  const time = timesOf(data);
  const embedded = `https://app.example.com/embed/${linkCanary}iframe-${project.id}`;
  return {
    ...lightProject(data, project, expand),
    ...(expand.has('owner') && { owner: v3User(data.get('user', project.owner_id)) }),
    ...(expand.has('data') && { data: projectData(data, project) }),
    ...(expand.has('theme') && { theme: { ...themeOf(project.theme_id, time), sign_provider: 'Tilkee' } }),
    ...(expand.has('vcard') && { vcard: vcardOf(project.vcard_id, time) }),
    ...(expand.has('iframe') && { iframe: { project: embedded, stats: `${embedded}-stats` } }),
  };
}

function imagesOf(item: TilkeeItem): Row[] {
  return Array.from({ length: Math.min(2, item.pages_count ?? 0) }, (_, page) => {
    const url = `https://img.example.com/${linkCanary}page-${item.id}-${page + 1}`;
    const size = { links: [], width: 595, height: 842, forms: [] };
    return { pagenum: page + 1, url: `${url}.png`, thumbnail_url: `${url}-small.png`, data: size };
  });
}

const noExpansion: Expand = new Set();

export function v3Item(data: TilkeeData, item: TilkeeItem, expand: Expand): Row {
  const time = timesOf(data);
  const placedIn = (): Row[] => data.projectsWith(item.id).map((project) => lightProject(data, project, noExpansion));
  return {
    id: item.id,
    user_id: item.owner_id,
    created_at: time(item.created_at),
    updated_at: time(item.updated_at),
    name: item.name,
    external_id: item.external_id,
    tags: expand.has('tags') ? item.tags : [],
    favorite: item.favorite,
    ...(expand.has('sharing_settings') && { sharing_settings: { user_ids: [], all: false, team: true } }),
    element_type: item.element_type,
    extension: item.extension,
    file_version: item.file_version,
    replaced_at: timeOrNull(time, item.replaced_at),
    processed: item.processed,
    retention: item.retention,
    retention_delay: item.retention_delay,
    pages_count: item.pages_count,
    url: `https://files.example.com/${linkCanary}item-${item.id}`,
    ...(expand.has('projects') && { projects: placedIn() }),
    ...(expand.has('owner') && { owner: v3User(data.get('user', item.owner_id)) }),
    ...(expand.has('images') && { images: imagesOf(item) }),
  };
}

const isIdKey = (key: string): boolean => /(^|_)ids?$/.test(key);

function distort(key: string, value: unknown, switches: TilkeeSwitches): unknown {
  if (Array.isArray(value)) return value.map((one) => distort(key, one, switches));
  if (typeof value === 'object' && value !== null) return distortAll(value, switches);
  if (key === 'first_access_at' && value === null && switches.firstAccessFalse) return false;
  if (key === 'interest' && switches.interestNull) return null;
  if (typeof value !== 'number') return value;
  if (key === 'duration' && switches.durationAsString) return String(value);
  return (isIdKey(key) ? switches.idsAsStrings : switches.numbersAsStrings) ? String(value) : value;
}

function distortAll(row: object, switches: TilkeeSwitches): Row {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, distort(key, value, switches)]));
}

const addedLater = { added_in_2031: { nested: [1, null, { deep: 'é' }] }, 'weird key': true, '': 'empty key' };

/** The row as it leaves the server, under the switches for single fields. */
export function finishRow(row: object, switches: TilkeeSwitches, options: { hasId: boolean } = { hasId: true }): Row {
  const { firstAccessFalse, interestNull, durationAsString, idsAsStrings, numbersAsStrings, unknownFields } = switches;
  const isDistorted = firstAccessFalse || interestNull || durationAsString || idsAsStrings || numbersAsStrings;
  const shown: Row = { ...(isDistorted ? distortAll(row, switches) : row), ...(unknownFields && addedLater) };
  if (!options.hasId) delete shown.id;
  return shown;
}
