import { describe, expect, it } from '@jest/globals';
import { redactTilkee } from '../../../src/sources/privacy.ts';
import { CONNEXIONS, itemsOf, projectsOf, TOKENS, USERS } from '../../../src/sources/tilkee/rows.ts';

const NONE = { storeVisitorPii: false, storeLinks: false };
const VISITORS = { storeVisitorPii: true, storeLinks: false };
const LINKS = { storeVisitorPii: false, storeLinks: true };
const ALL = { storeVisitorPii: true, storeLinks: true };

/** Each value names the setting that lets it through: where one turns up that should not, something came through. */
const secret = (name: string) => `canary-secret-${name}`;
const visitor = (name: string) => `canary-visitor-${name}`;
const link = (name: string) => `https://canary-link-${name}.example.test/v/abc?signature=x`;

const kept = (text: string) => `kept ${text}`;

/** A leader, owner or colleague, with everything that the sources and a server of another year may put there. */
const account = {
  id: 4658,
  email: kept('email'),
  first_name: kept('first name'),
  linkedin_account_url: kept('profile'),
  avatar: kept('avatar'),
  referral_token: secret('referral'),
  convert_token: secret('convert'),
  access_token: secret('access'),
  refreshToken: secret('refresh'),
  accesstoken: secret('unbroken'),
  token: secret('plain'),
  dj_json_id: secret('dj'),
  password: secret('password'),
  encrypted_password: secret('encrypted'),
  password_changed_at: secret('changed'),
  client_secret: secret('client'),
  secret: secret('secret'),
  api_key: secret('api-key'),
  apiKey: secret('api-key-camel'),
  APIKey: secret('api-key-capitals'),
  apikey: secret('api-key-word'),
  AWSAccessKeyId: secret('aws'),
  authorization: secret('authorization'),
  credentials: { any: secret('credentials') },
  intercom_id: secret('intercom'),
  intercomHash: secret('intercom-hash'),
  crisp_key: secret('crisp'),
  zendesk_chat_key: secret('zendesk'),
  drift_id: secret('drift'),
  support_chat_token: secret('chat-token'),
  chat_id: secret('chat'),
  payment_method: secret('payment'),
  has_payment: secret('has-payment'),
  stripe_customer: { id: secret('stripe') },
  billing_address: secret('billing'),
  iban: secret('iban'),
  credit_card: secret('credit-card'),
  credit_card_last4: secret('credit-card-digits'),
  card_last4: secret('card-digits'),
  devices: [{ id: 1, push_token: secret('push') }],
  company: {
    id: 11,
    name: kept('company'),
    subscription_has_payment: secret('subscription'),
    slimpay_validated: secret('slimpay'),
    has_proabono: secret('proabono'),
  },
};

const v2Project = {
  id: 2,
  name: kept('project name'),
  preview: link('preview'),
  preview_new: link('preview-new'),
  previewUrl: link('preview-camel'),
  token_url: link('token-url'),
  url: link('sign-in'),
  iframe: { project: link('iframe') },
  iframes: { project: link('iframes'), tokens_escape: link('iframes-escape') },
  vcard: { id: 3, name: kept('business card') },
  vcard_id: 3,
  data: { nb_links: 7, last_created_token_at: kept('last token') },
  leader: account,
};

const v3Project = {
  id: 1,
  name: kept('project'),
  url: { project: kept('app address'), preview: link('url-preview'), token: link('url-token'), url: link('url-url') },
  iframe: { any: link('v3-iframe') },
  vcard_id: 3,
  vcard: { id: 3, twitter_account_url: kept('card profile') },
  data: { links_count: 2, links: '3', clicked_links_count: 1 },
  owner: account,
};

const item = {
  id: 3,
  name: kept('item'),
  url: link('item'),
  s3_url: link('s3'),
  content_url: link('content'),
  thumbnail_url: link('thumbnail'),
  thumbnail_page_url: link('thumbnail-page'),
  thumbnailUrl: link('thumbnail-camel'),
  images: [{ pagenum: 1, url: link('image'), data: { links: [{ url: link('image-link') }] } }],
  owner: account,
  projects: [v3Project, v2Project],
};

const token = {
  id: 4,
  name: kept('token'),
  project_name: kept('name of project'),
  link: link('link'),
  links: [link('links')],
  preview_url: link('token-preview'),
  share_link: link('share'),
  public_url: link('public'),
  url: link('token'),
  signed_docs: [{ id: 1, name: kept('document'), url: link('signed') }],
  project: v2Project,
};

const connexion = {
  id: 5,
  title: kept('connexion'),
  user_agent: visitor('agent'),
  userAgent: visitor('agent-camel'),
  ip: visitor('ip'),
  ip_address: visitor('ip-address'),
  last_sign_in_ip: visitor('last-ip'),
  'X-Forwarded-For': visitor('forwarded'),
  platform: {
    device_type: kept('device'),
    browser: 'Firefox',
    os: kept('os'),
    ip: visitor('platform-ip'),
    userAgent: visitor('platform-agent'),
    client: 'Mozilla/5.0 (canary-visitor-client)',
  },
  token: { id: 4, project_id: 2, link: link('nested') },
  token_id: 4,
  project: v2Project,
};

const RECORDS = { v3Project, v2Project, item, token, connexion, user: account };
const text = JSON.stringify(RECORDS);
const words = (pattern: RegExp, inside: string) => [...new Set(inside.match(pattern) ?? [])].sort();

const SECRET = /canary-secret-[\w-]+/g;
const VISITOR = /canary-visitor-[\w-]+/g;
const LINK = /canary-link-[\w-]+/g;
const KEPT = /kept [\w ]+/g;

describe('redactTilkee', () => {
  it.each([
    ['nothing', NONE],
    ['visitors', VISITORS],
    ['links', LINKS],
    ['both', ALL],
  ])('stores no secret of an account when the settings allow %s', (_, privacy) => {
    expect(words(SECRET, text).length).toBeGreaterThan(35);
    expect(words(SECRET, JSON.stringify(redactTilkee(RECORDS, privacy)))).toEqual([]);
  });

  it('stores by default no trace of a visitor and no link', () => {
    const redacted = JSON.stringify(redactTilkee(RECORDS, NONE));
    expect([words(VISITOR, text).length, words(LINK, text).length]).toEqual([9, 28]);
    expect(redacted).not.toContain('canary');
  });

  it.each([
    ['visitors', VISITORS, VISITOR],
    ['links', LINKS, LINK],
  ])('stores %s when that setting is on, and nothing else of the kind', (_, privacy, pattern) => {
    const redacted = JSON.stringify(redactTilkee(RECORDS, privacy));
    expect(words(pattern, redacted)).toEqual(words(pattern, text));
    expect(words(/canary-\w+/g, redacted)).toHaveLength(1);
  });

  it('stores both when both are on', () => {
    const redacted = JSON.stringify(redactTilkee(RECORDS, ALL));
    expect(words(VISITOR, redacted)).toEqual(words(VISITOR, text));
    expect(words(LINK, redacted)).toEqual(words(LINK, text));
  });

  it('keeps everything around it: business cards, profiles, counts, ids of links, a browser by its name', () => {
    const redacted = redactTilkee(RECORDS, NONE) as typeof RECORDS;
    expect(words(KEPT, JSON.stringify(redacted))).toEqual(words(KEPT, text));
    expect(redacted.v3Project).toMatchObject({
      url: { project: v3Project.url.project },
      vcard_id: 3,
      vcard: v3Project.vcard,
      data: v3Project.data,
    });
    expect(redacted.v2Project).toMatchObject({ vcard: v2Project.vcard, data: v2Project.data });
    expect(redacted.connexion).toMatchObject({ token_id: 4, token: { id: 4, project_id: 2 } });
    expect(redacted.connexion.platform).toEqual({
      device_type: connexion.platform.device_type,
      browser: 'Firefox',
      os: connexion.platform.os,
    });
    expect(redacted.user.devices).toEqual([{ id: 1 }]);
  });

  it.each([
    ['a token by its id', { token: 4 }],
    ['a token by its id as text', { token: '4' }],
    ['a token as an object', { token: { id: 4 } }],
    ['counts as text', { nb_links: '3', links: 3, links_count: '2', link: null }],
    ['names that only look alike', { zip: '1', ship: 2, recipients: [3], keyboard: 4, description: 'https://x.test' }],
    ['links of a project by name', { tokens_count: 1, accessible_tokens: 2, tokens: [{ id: 1, name: 'x' }] }],
  ])('keeps %s', (_, record) => {
    expect(redactTilkee(record, NONE)).toBe(record);
  });

  it.each([
    ['a user agent in place of the browser', { browser: 'Mozilla/5.0 (X11)' }],
    ['a list of addresses', { url: ['https://x.test'] }],
    ['a map of links', { access_links: { one: 'https://x.test' } }],
  ])('drops %s', (_, record) => {
    expect(redactTilkee({ id: 1, ...record }, NONE)).toEqual({ id: 1 });
  });

  it('leaves a record alone that holds nothing of the kind, down to its identity', () => {
    const record = { id: 1, name: 'x', data: { links_count: 1, list: [1, { a: null }] }, url: { project: 'x' } };
    expect(redactTilkee(record, NONE)).toBe(record);
  });

  it('changes a copy, not the record', () => {
    redactTilkee(RECORDS, NONE);
    expect(JSON.stringify(RECORDS)).toBe(text);
  });

  it.each([null, undefined, 'text', 7, true, []])('takes %p as it is', (value) => {
    expect(redactTilkee(value, NONE)).toEqual(value);
  });
});

describe('a row', () => {
  it('made of a redacted record holds nothing of the kind in any column', () => {
    const redacted = redactTilkee(RECORDS, NONE) as typeof RECORDS;
    const rows = [
      projectsOf('v3').mapRecord(redacted.v3Project),
      projectsOf('v2').mapRecord(redacted.v2Project),
      itemsOf('v3').mapRecord(redacted.item),
      TOKENS.mapRecord(redacted.token),
      CONNEXIONS.mapRecord(redacted.connexion),
      USERS.mapRecord(redacted.user),
    ];
    expect(JSON.stringify(rows)).not.toContain('canary');
    expect(rows.map(({ id }) => id)).toEqual(['1', '2', '3', '4', '5', '4658']);
    expect(TOKENS.mapRecord(redacted.token)).toMatchObject({ link: null, preview_url: null });
    expect(CONNEXIONS.mapRecord(redacted.connexion)).toMatchObject({ ip: null, user_agent: null, browser: 'Firefox' });
  });

  it('has the columns that a setting allows', () => {
    const redacted = redactTilkee(RECORDS, ALL) as typeof RECORDS;
    expect(TOKENS.mapRecord(redacted.token)).toMatchObject({ link: token.link, preview_url: token.preview_url });
    expect(CONNEXIONS.mapRecord(redacted.connexion)).toMatchObject({
      ip: connexion.platform.ip,
      user_agent: connexion.user_agent,
    });
  });
});
