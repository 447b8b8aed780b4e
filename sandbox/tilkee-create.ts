/**
 * One shape per kind, from which both APIs build their rows. Times are ms since 1970, because the two APIs write them
 * differently. Proportions and names are invented.
 */
import type { Random } from './random.ts';
import * as texts from './texts.ts';

const day = 24 * 3600_000;

const offers = ['Offer', 'Proposition', 'Preventivo', 'Renewal', 'Tender', 'Présentation', '提案書'];
const documents = ['Brochure', 'Price list', 'Contract', 'Démo', 'References', 'Terms & conditions', 'Планы'];
const dealTags = ['q1', 'q2', 'vip', 'à relancer', 'north, south', 'b2b'];
const positions = ['Sales', 'Account manager', 'Directrice commerciale', null];

/** The type, then the extension if there is one. */
const elementTypes = ['Doc pdf', 'Doc docx', 'Excel xlsx', 'Image png', 'Video mp4', 'Iframe', 'Texte'];
const devices = ['desktop Linux', 'desktop Windows', 'phone iOS', 'tablet Android'];

type New<More = unknown> = { readonly id: number; readonly at: number } & Readonly<More>;

const never: number | null = null as number | null;
const pickTags = (random: Random): readonly string[] => (random.chance(0.3) ? [random.pick(dealTags)] : []);

export const personName = (random: Random): string =>
  `${random.pick(texts.firstNames)} ${random.pick(texts.lastNames)}`;

export function createUser(random: Random, { id, at }: New) {
  const name = random.hex(6);
  return {
    id,
    first_name: random.pick(texts.firstNames),
    last_name: random.pick(texts.lastNames),
    email: `colleague.${name}@example.com`,
    created_at: at,
    updated_at: at,
    deleted_at: never,
    last_sign_in_at: random.chance(0.9) ? at + random.int(1, 30) * day : null,
    position: random.pick(positions),
    locale: random.pick(['fr', 'en', 'it']) as string,
    is_owner: false,
    level_id: random.int(1, 4),
  };
}

export function createItem(random: Random, { id, at, ownerId }: New<{ ownerId: number }>) {
  const [elementType = '', extension = null] = random.pick(elementTypes).split(' ');
  const wasReplaced = random.chance(0.1);
  const updatedAt = at + (wasReplaced ? random.int(1, 3 * day) : 0);
  return {
    id,
    name: `${random.pick(documents)} ${random.int(1, 999)}`,
    owner_id: ownerId,
    created_at: at,
    updated_at: updatedAt,
    replaced_at: wasReplaced ? updatedAt : null,
    external_id: random.chance(0.1) ? `FILE:${random.int(1, 9999)}` : null,
    tags: pickTags(random),
    favorite: random.chance(0.1),
    element_type: elementType,
    extension,
    file_version: wasReplaced ? 2 : 1,
    processed: random.chance(0.97),
    pages_count: elementType === 'Doc' ? random.int(1, 40) : null,
    retention: random.chance(0.05),
    retention_delay: random.chance(0.05) ? random.int(1, 60) : null,
  };
}

type NewProject = New<{ ownerId: number; itemIds: readonly number[]; sharedWith: readonly number[] }>;

export function createProject(random: Random, { id, at, ownerId, itemIds, sharedWith }: NewProject) {
  const isTemplate = random.chance(0.06);
  return {
    id,
    name: `${random.pick(offers)} ${random.pick(texts.companies)} ${random.int(1, 999)}`,
    owner_id: ownerId,
    created_at: at,
    updated_at: at + (random.chance(0.7) ? random.int(1, 2 * day) : 0),
    archived_at: never,
    expires_at: random.chance(0.2) ? at + random.int(10, 90) * day : null,
    external_id: random.chance(0.3) ? `DEAL:${random.int(1, 9999)}` : null,
    tags: pickTags(random),
    is_template: isTemplate,
    signable: random.chance(0.2),
    processed: random.chance(0.98),
    downloadable: random.chance(0.8),
    favorite: random.chance(0.1),
    notifications_enabled: random.chance(0.9),
    verdict: random.pick(['won', 'lost', 'na', 'unset', 'unset']),
    /** Templates: days. */
    duration: isTemplate ? (random.pick([30, 60, 90]) as number) : null,
    theme_id: random.int(10, 13),
    vcard_id: random.chance(0.5) ? random.int(1, 9) : null,
    email_cible: random.chance(0.1) ? [`watch.${random.hex(4)}@example.com`] : [],
    item_ids: itemIds,
    shared_user_ids: sharedWith,
  };
}

export interface LinkedLead {
  readonly id: string;
  readonly lead_id?: string;
  readonly fullname?: string;
  readonly email?: string;
}

/** The sales people wrote down the one or the other: the contact's id in some product, or only a name or an address. */
function recipientOf(random: Random, lead?: LinkedLead): { name: string; external_id: string | null } {
  if (!lead) {
    const name = personName(random);
    return { name, external_id: random.chance(0.3) ? `CONTACT:${random.int(1, 99999)}` : null };
  }
  const known = lead.fullname ?? lead.email;
  const ids = [lead.id, lead.lead_id ?? lead.id, ...(known === undefined ? [] : [null])];
  return { name: known ?? personName(random), external_id: random.pick(ids) };
}

type NewToken = New<{ projectId: number; creatorId: number; lead?: LinkedLead | undefined }>;

/** A link. There is no `updated_at`: nothing tells that a link changed. */
export function createToken(random: Random, { id, at, projectId, creatorId, lead }: NewToken) {
  return {
    id,
    project_id: projectId,
    creator_id: creatorId,
    ...recipientOf(random, lead),
    /** Which lead the link was made for; in no answer. */
    lead: lead?.id ?? null,
    created_at: at,
    archived_at: never,
    won: random.pick(['na', 'na', 'ac', 'won', 'lost']),
    signed_status: random.pick(['no_init', 'no_init', 'no_init', 'init', 'waiting', 'signed', 'signed_complete']),
    generated_by_prospect: random.chance(0.05),
  };
}

type NewVisit = New<{ tokenId: number; itemIds: readonly number[]; isOpen: boolean }>;

/** A visit. Its link is known here and, by default, in no answer. */
export function createVisit(random: Random, { id, at, tokenId, itemIds, isOpen }: NewVisit) {
  const [deviceType, os] = random.pick(devices).split(' ');
  return {
    id,
    token_id: tokenId,
    created_at: at,
    access_date: at,
    total_time: random.int(1, 600) * 1000 + random.int(0, 999),
    percentage_read: random.int(1, isOpen ? 40 : 100),
    downloaded: random.chance(0.1),
    signed: random.chance(0.03),
    new_person: random.chance(0.4),
    platform_id: random.int(1, 400),
    device_type: deviceType,
    browser: random.pick(['Chrome', 'Firefox', 'Safari']),
    os,
    most_visited_item_id: itemIds.length > 0 ? random.pick(itemIds) : null,
    /** Still reading: the counters grow. In no answer. */
    is_open: isOpen,
  };
}

export interface TilkeeFields {
  project: Readonly<ReturnType<typeof createProject>>;
  item: Readonly<ReturnType<typeof createItem>>;
  token: Readonly<ReturnType<typeof createToken>>;
  connexion: Readonly<ReturnType<typeof createVisit>>;
  user: Readonly<ReturnType<typeof createUser>>;
}

export type TilkeeKind = keyof TilkeeFields;

/** `_id` for the collection, `_rank` for a fixed order that follows no field. */
export type TilkeeDocument<K extends TilkeeKind> = TilkeeFields[K] & { readonly _id: string; readonly _rank: number };

export type TilkeeProject = TilkeeDocument<'project'>;
export type TilkeeItem = TilkeeDocument<'item'>;
export type TilkeeToken = TilkeeDocument<'token'>;
export type TilkeeVisit = TilkeeDocument<'connexion'>;
export type TilkeeUser = TilkeeDocument<'user'>;
