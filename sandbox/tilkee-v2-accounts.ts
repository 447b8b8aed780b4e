/** How V2 shows people: users, leaders of projects, their company, and the private fields that come along. */
import { secretCanary, type TilkeeUser, v2Time } from './tilkee-documents.ts';
import type { Row } from './tilkee-v3-rows.ts';

const secret = (kind: string, id: number): string => `${secretCanary}${kind}-${id}`;

export const avatarOf = (id: number): string | null =>
  id % 2 === 0 ? `https://img.example.com/avatars/${id}.png` : null;

/** What users and leaders have in common. `last_sign_in_at` is in seconds here, unlike everywhere else. */
function account(user: TilkeeUser): Row {
  return {
    id: user.id,
    first_name: user.first_name,
    last_name: user.last_name,
    full_name: `${user.first_name} ${user.last_name}`,
    email: user.email,
    phone_number: null,
    cell_phone_number: `+3300000${String(user.id).padStart(4, '0')}`,
    contact_email: user.email,
    level_id: user.level_id,
    is_owner: user.is_owner,
    can_see_stats: true,
    locale: user.locale,
    position: user.position,
    avatar: avatarOf(user.id),
    linkedin_account_url: null,
    last_sign_in_at: user.last_sign_in_at === null ? null : Math.floor(user.last_sign_in_at / 1000),
  };
}

const accountSecrets = ({ id }: TilkeeUser): Row => ({
  referral_token: secret('referral', id),
  convert_token: secret('convert', id),
  support_chat_token: secret('chat-token', id),
  support_chat_id: secret('chat-id', id),
  payment_hint: secret('payment', id),
  password_hint: secret('password-hint', id),
});

function companyOf(id: number): Row {
  return {
    id: 3,
    name: 'Example Ltd',
    users_to_charge_counter: 6,
    company_rights: ['stats'],
    nb_employees: null,
    default_theme_id: 10,
    usable_domains: ['example.com'],
    geoloc_activate: false,
    custom_branding: false,
    api_key: secret('company-key', id),
    subscription_token: secret('company-subscription', id),
  };
}

export const v2Leader = (user: TilkeeUser): Row => ({ ...account(user), vcards: [], ...accountSecrets(user) });

export function v2User(user: TilkeeUser): Row {
  return {
    ...account(user),
    should_receive_emails: true,
    support_end_date: '2030-12-31',
    devices: [],
    password_changed_at: v2Time(user.created_at),
    created_at: v2Time(user.created_at),
    updated_at: v2Time(user.updated_at),
    deleted_at: user.deleted_at === null ? null : v2Time(user.deleted_at),
    sf_id: null,
    default_theme_id: 10,
    rights: ['create_project', 'see_stats'],
    profile: { id: user.id + 40, csv_rate_limit: 10 },
    location: { id: user.id + 70, address: null, postal_code: null, city: 'Nowhere', country: 'France' },
    company: companyOf(user.id),
    ...accountSecrets(user),
  };
}
