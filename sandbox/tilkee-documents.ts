/**
 * What the simulated Tilkee stores: one shape per kind, from which both APIs build their rows. Times are ms since 1970,
 * because the two APIs write them differently. `type`, not `interface`: only those pass as documents of a collection.
 */

/** Private values carry these, so that a test can search a database, a log or a screen for them. */
export const secretCanary = 'canary-secret-';
export const linkCanary = 'canary-link-';
export const visitorCanary = 'canary-visitor-';

export type ProjectFields = {
  readonly id: number;
  readonly name: string;
  readonly owner_id: number;
  readonly created_at: number;
  readonly updated_at: number;
  readonly archived_at: number | null;
  readonly expires_at: number | null;
  readonly external_id: string | null;
  readonly tags: readonly string[];
  readonly is_template: boolean;
  readonly signable: boolean;
  readonly processed: boolean;
  readonly downloadable: boolean;
  readonly favorite: boolean;
  readonly notifications_enabled: boolean;
  readonly verdict: 'won' | 'lost' | 'na' | 'unset';
  /** Templates: days. */
  readonly duration: number | null;
  readonly theme_id: number;
  readonly vcard_id: number | null;
  readonly email_cible: readonly string[];
  readonly item_ids: readonly number[];
  readonly shared_user_ids: readonly number[];
};

export type ItemFields = {
  readonly id: number;
  readonly name: string;
  readonly owner_id: number;
  readonly created_at: number;
  readonly updated_at: number;
  readonly replaced_at: number | null;
  readonly external_id: string | null;
  readonly tags: readonly string[];
  readonly favorite: boolean;
  readonly element_type: string;
  readonly extension: string | null;
  readonly file_version: number;
  readonly processed: boolean;
  readonly pages_count: number | null;
  readonly retention: boolean;
  readonly retention_delay: number | null;
};

/** A link. There is no `updated_at`: nothing tells that a link changed. */
export type TokenFields = {
  readonly id: number;
  readonly project_id: number;
  readonly creator_id: number;
  readonly name: string;
  readonly external_id: string | null;
  /** Which lead it was made for; in no answer. */
  readonly lead: string | null;
  readonly created_at: number;
  readonly archived_at: number | null;
  readonly won: 'won' | 'lost' | 'ac' | 'na';
  readonly signed_status: string;
  readonly generated_by_prospect: boolean;
};

/** A visit. Its link is known here and, by default, in no answer. */
export type VisitFields = {
  readonly id: number;
  readonly token_id: number;
  readonly created_at: number;
  readonly access_date: number;
  readonly total_time: number;
  readonly percentage_read: number;
  readonly downloaded: boolean;
  readonly signed: boolean;
  readonly new_person: boolean;
  readonly platform_id: number;
  readonly device_type: 'desktop' | 'phone' | 'tablet';
  readonly browser: string;
  readonly os: string;
  readonly most_visited_item_id: number | null;
  /** Still reading: the counters grow. In no answer. */
  readonly is_open: boolean;
};

export type UserFields = {
  readonly id: number;
  readonly first_name: string;
  readonly last_name: string;
  readonly email: string;
  readonly created_at: number;
  readonly updated_at: number;
  readonly deleted_at: number | null;
  readonly last_sign_in_at: number | null;
  readonly position: string | null;
  readonly locale: string;
  readonly is_owner: boolean;
  readonly level_id: number;
};

export interface TilkeeFields {
  project: ProjectFields;
  item: ItemFields;
  token: TokenFields;
  connexion: VisitFields;
  user: UserFields;
}

export type TilkeeKind = keyof TilkeeFields;

/** Unique sort keys: the collection leaves equal keys in insertion order, the server lists them by id. */
export type SortKeys = {
  readonly _id: string;
  readonly _created: string;
  readonly _updated: string;
  readonly _shuffled: string;
};

export type TilkeeDocument<K extends TilkeeKind> = TilkeeFields[K] & SortKeys;
export type TilkeeProject = TilkeeDocument<'project'>;
export type TilkeeItem = TilkeeDocument<'item'>;
export type TilkeeToken = TilkeeDocument<'token'>;
export type TilkeeVisit = TilkeeDocument<'connexion'>;
export type TilkeeUser = TilkeeDocument<'user'>;

const place = (at: number, id: number): string => `${String(at).padStart(15, '0')}.${String(id).padStart(10, '0')}`;

function scramble(id: number): number {
  const mixed = Math.imul(id ^ (id >>> 15), 0x2c1b3c6d);
  return (Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39) ^ (mixed >>> 15)) >>> 0;
}

export function sortKeysOf(fields: { id: number; created_at: number; updated_at?: number }): SortKeys {
  const { id, created_at: createdAt, updated_at: updatedAt = createdAt } = fields;
  return {
    _id: String(id),
    _created: place(createdAt, id),
    _updated: place(updatedAt, id),
    _shuffled: place(scramble(id), id),
  };
}

/** As the V3 server's language prints a time: six digits of fraction, or none. */
export function v3Time(at: number, hasOffset: boolean): string {
  const iso = new Date(at).toISOString();
  const fraction = iso.slice(20, 23);
  return `${iso.slice(0, 19)}${fraction === '000' ? '' : `.${fraction}000`}${hasOffset ? '+00:00' : ''}`;
}

const hour = 3600_000;

/** 01:00 UTC of the month's last Sunday: when the clocks of Europe change. */
function clockChange(year: number, month: number): number {
  const last = new Date(Date.UTC(year, month + 1, 0, 1));
  return last.getTime() - last.getUTCDay() * 24 * hour;
}

const summers = new Map<number, { readonly from: number; readonly to: number }>();

/** Kept, since a page of rows asks hundreds of times. */
function summerOf(year: number): { readonly from: number; readonly to: number } {
  const known = summers.get(year);
  if (known) return known;
  const summer = { from: clockChange(year, 2), to: clockChange(year, 9) };
  summers.set(year, summer);
  return summer;
}

/** Paris time with its offset, always with milliseconds. */
export function v2Time(at: number): string {
  const date = new Date(at);
  const summer = summerOf(date.getUTCFullYear());
  const offset = at >= summer.from && at < summer.to ? 2 : 1;
  date.setTime(at + offset * hour);
  return `${date.toISOString().slice(0, 23)}+0${offset}:00`;
}
