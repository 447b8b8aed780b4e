import { describe, expect, it } from '@jest/globals';
import { RecordError } from '../../../src/errors.ts';
import { asEpochSecondsTime, asFlag, asObject, asText, firstOf } from '../../../src/sources/coerce.ts';
import { CONNEXIONS, itemsOf, projectsOf, TOKENS, USERS } from '../../../src/sources/tilkee/rows.ts';
import type { ColumnType, Row, TableSpec } from '../../../src/stream.ts';
import fc from '../../helpers/property.ts';

type Json = Record<string, unknown>;

const mapProject = (record: unknown, api: 'v3' | 'v2') => projectsOf(api).mapRecord(record);
const mapItem = (record: unknown, api: 'v3' | 'v2') => itemsOf(api).mapRecord(record);
const { mapRecord: mapToken } = TOKENS;
const { mapRecord: mapConnexion } = CONNEXIONS;
const { mapRecord: mapUser } = USERS;

const KINDS: readonly (readonly [string, TableSpec, (record: unknown) => Row])[] = [
  ['V3 project', projectsOf('v3').table, (record) => mapProject(record, 'v3')],
  ['V2 project', projectsOf('v2').table, (record) => mapProject(record, 'v2')],
  ['V3 item', itemsOf('v3').table, (record) => mapItem(record, 'v3')],
  ['V2 item', itemsOf('v2').table, (record) => mapItem(record, 'v2')],
  ['token', TOKENS.table, mapToken],
  ['connexion', CONNEXIONS.table, mapConnexion],
  ['user', USERS.table, mapUser],
];

const project = (fields: Json, api: 'v3' | 'v2' = 'v2') => mapProject({ id: 1, ...fields }, api);
const token = (fields: Json) => mapToken({ id: 1, ...fields });
const connexion = (fields: Json) => mapConnexion({ id: 1, ...fields });
const user = (fields: Json) => mapUser({ id: 1, ...fields });

/** The columns that hold something. */
const filled = ({ raw: _, ...row }: Row): Json =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));

describe('every kind', () => {
  it.each(KINDS)('of record has exactly the columns of its table: a %s', (_, table, map) => {
    const { id: _id, raw: _raw, deleted_at: _deleted, ...columns } = map({ id: 1 });
    expect(Object.keys(columns).sort()).toEqual(
      [...new Set([...Object.keys(table.columns), 'updated_at'])].sort() as string[],
    );
    expect(table.columns.updated_at).toBe('timestamptz');
    for (const name of table.attributed ?? []) expect(table.columns).toHaveProperty(name);
  });

  it.each(KINDS)('has its id as text and the record as raw: a %s', (_, _table, map) => {
    const record = { id: 37980, unknown: { kept: [1] } };
    expect(map(record)).toMatchObject({ id: '37980' });
    expect(map(record).raw).toBe(record);
    expect(map({ id: '37980' }).id).toBe('37980');
  });

  it.each(KINDS)('is refused without a usable id: a %s', (_, _table, map) => {
    for (const record of [{}, { id: null }, { id: '' }, { id: false }, { id: [] }, null, 'x', 7, [], [{ id: 1 }]]) {
      expect(() => map(record)).toThrow(RecordError);
      expect(() => map(record)).toThrow(expect.objectContaining({ code: 'no_id', recordId: null }));
    }
  });

  it.each(KINDS)('has null in every column that is absent or null, but for what was asked: a %s', (_, table, map) => {
    const { source_api: _api, ...empty } = filled(map({ id: 1 }));
    expect(empty).toEqual({ id: '1' });
    const nulls = Object.fromEntries(Object.keys(table.columns).map((name) => [name, null]));
    const { source_api: _also, ...others } = filled(map({ ...nulls, data: null, platform: null, owner: null, id: 1 }));
    expect(others).toEqual({ id: '1' });
  });

  const fits: Readonly<Record<ColumnType, (value: never) => boolean>> = {
    text: (value) => typeof value === 'string',
    'text[]': (value: unknown) => Array.isArray(value) && value.every((entry) => typeof entry === 'string'),
    integer: (value: number) => Number.isInteger(value) && Math.abs(value) < 2 ** 31,
    bigint: Number.isSafeInteger,
    'double precision': Number.isFinite,
    boolean: (value) => typeof value === 'boolean',
    timestamptz: (value: string) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value),
    jsonb: () => true,
  };

  it.each(KINDS)(
    'takes whatever comes in its fields, and a wrong value costs its column only: a %s',
    (_, table, map) => {
      const nested = ['data', 'owner', 'leader', 'platform', 'token', 'project', 'company', 'theme', 'vcard'];
      const names = [...Object.keys(table.columns), ...nested, 'title', 'leader_id', 'tokens_count', 'nb_connections'];
      const record = fc.dictionary(fc.constantFrom(...names), fc.jsonValue({ maxDepth: 3 }));
      fc.assert(
        fc.property(record, (fields) => {
          const row = map({ ...fields, id: 1 });
          for (const [name, type] of Object.entries(table.columns)) {
            const value = row[name];
            expect([name, value, value === null || fits[type](value as never)]).toEqual([name, value, true]);
          }
        }),
        { numRuns: 200 },
      );
    },
  );
});

/** As section 7.3 of the reference has it. */
const V3_PROJECT = {
  id: 37980,
  name: 'Offer A',
  created_at: '2022-03-01T09:00:00+00:00',
  updated_at: '2022-03-02T10:30:00',
  url: { project: 'https://app.example.test/project/37980' },
  signable: false,
  signed: false,
  processed: true,
  downloadable: true,
  expiration_date: '2022-06-01T00:00:00Z',
  tags: ['q1'],
  external_id: 'DEAL:21',
  notifications_enabled: true,
  email_cible: [],
  theme_id: 12,
  vcard_id: null,
  vcard: { id: 3 },
  is_template: false,
  verdict: 'unset',
  favorite: false,
  duration: 30,
  owner: { id: 7, email: 'owner@example.test', first_name: 'O', last_name: 'W', avatar: null },
  data: {
    total_time: 125000,
    connections_count: 3,
    links_count: 2,
    items_count: 4,
    interest: 4.5,
    median_percentage_read: 60.0,
    first_access_at: '2022-03-01T12:00:00+00:00',
  },
};

describe('a project', () => {
  it('of V3', () => {
    expect(filled(mapProject(V3_PROJECT, 'v3'))).toEqual({
      id: '37980',
      source_api: 'v3',
      name: 'Offer A',
      verdict: 'unset',
      is_template: false,
      signable: false,
      signed: false,
      downloadable: true,
      favorite: false,
      processed: true,
      tags: ['q1'],
      external_id: 'DEAL:21',
      owner_id: '7',
      owner_email: 'owner@example.test',
      owner_first_name: 'O',
      owner_last_name: 'W',
      theme_id: '12',
      vcard_id: '3',
      duration: 30,
      expiration_date: '2022-06-01T00:00:00.000Z',
      first_access_at: '2022-03-01T12:00:00.000Z',
      total_time: 125000,
      connections_count: 3,
      links_count: 2,
      items_count: 4,
      interest: 4.5,
      median_percentage_read: 60,
      data: V3_PROJECT.data,
      created_at: '2022-03-01T09:00:00.000Z',
      updated_at: '2022-03-02T10:30:00.000Z',
    });
  });

  it('of a V2 list: flat owner and counts', () => {
    const row = project({
      name: 'Offer B',
      verdict: 'na',
      is_template: true,
      can_be_downloaded: true,
      starred: true,
      signed: true,
      signable: true,
      duration: '30',
      external_id: 'PIPEDRIVE_DEAL:21654',
      tags: [{ id: 1, name: 'object' }, 'plain', null, {}],
      interest: 3,
      vcard_id: 5,
      workspace_id: 6,
      created_at: '2015-11-19T10:02:05.322+01:00',
      updated_at: '2015-11-19T10:02:05.322+01:00',
      consultable_until: '2016-01-01',
      last_sign_in_at: '2015-12-01T00:00:00.000+01:00',
      first_access_at: false,
      archived_at: '2017-12-29',
      status: 'archived',
      nb_connections: 9,
      total_time: '5000000000',
      tokens_count: 8,
      project_items_count: 7,
      leader_id: 4658,
      leader_first_name: 'Paul',
      leader_last_name: 'P',
      leader_email: 'paul@example.test',
    });
    expect(filled(row)).toEqual({
      id: '1',
      source_api: 'v2',
      name: 'Offer B',
      verdict: 'na',
      is_template: true,
      signable: true,
      signed: true,
      downloadable: true,
      favorite: true,
      tags: ['object', 'plain'],
      external_id: 'PIPEDRIVE_DEAL:21654',
      owner_id: '4658',
      owner_email: 'paul@example.test',
      owner_first_name: 'Paul',
      owner_last_name: 'P',
      vcard_id: '5',
      workspace_id: '6',
      duration: 30,
      expiration_date: '2016-01-01T00:00:00.000Z',
      status: 'archived',
      archived_at: '2017-12-29T00:00:00.000Z',
      last_sign_in_at: '2015-11-30T23:00:00.000Z',
      total_time: 5_000_000_000,
      connections_count: 9,
      links_count: 8,
      items_count: 7,
      interest: 3,
      created_at: '2015-11-19T09:02:05.322Z',
      updated_at: '2015-11-19T09:02:05.322Z',
    });
  });

  it('of V2 in detail: owner as an object, counts in data', () => {
    const data = {
      signed: true,
      total_time: 1,
      nb_connections: 2,
      nb_links: 3,
      nb_items: 4,
      interest: 0,
      median_percentage_read: '55.5',
      first_access_at: '2022-03-01T12:00:00Z',
      last_sign_in_at: '2022-03-02T12:00:00Z',
    };
    const leader = { id: 9, email: 'l@example.test', first_name: 'L', last_name: 'E', last_sign_in_at: 1447923437 };
    expect(filled(project({ data, leader, theme: { id: 4402 } }))).toEqual({
      id: '1',
      source_api: 'v2',
      signed: true,
      owner_id: '9',
      owner_email: 'l@example.test',
      owner_first_name: 'L',
      owner_last_name: 'E',
      theme_id: '4402',
      total_time: 1,
      connections_count: 2,
      links_count: 3,
      items_count: 4,
      interest: 0,
      median_percentage_read: 55.5,
      first_access_at: '2022-03-01T12:00:00.000Z',
      last_sign_in_at: '2022-03-02T12:00:00.000Z',
      data,
    });
  });

  it('takes all that it says of the owner from one person', () => {
    const names = ['owner_id', 'owner_email', 'owner_first_name', 'owner_last_name'] as const;
    const ownerIn = (fields: Json) => names.map((name) => project(fields)[name]);
    const flat = { leader_id: 9, leader_email: 'f@example.test', leader_first_name: 'F', leader_last_name: 'L' };
    const leader = { id: 9, email: 'l@example.test', last_name: null };
    expect(ownerIn({ owner: { id: 7, first_name: 'O' }, leader, ...flat })).toEqual(['7', null, 'O', null]);
    expect(ownerIn({ owner: { email: 'o@example.test' }, leader })).toEqual([null, 'o@example.test', null, null]);
    expect(ownerIn({ owner: 7, leader, ...flat })).toEqual(['7', null, null, null]);
    expect(ownerIn({ owner: 9, leader })).toEqual(['9', 'l@example.test', null, null]);
    expect(ownerIn({ owner: null, leader, ...flat })).toEqual(['9', 'l@example.test', 'F', 'L']);
    expect(ownerIn({ owner: false, ...flat })).toEqual(['9', 'f@example.test', 'F', 'L']);
  });

  it.each([
    ['the outcome before 2020', { won: 'lost' }, { verdict: 'lost' }],
    ['an outcome that is a switch', { won: true }, { verdict: 'true' }],
    ['a misspelt switch', { can_be_downladed: true }, { downloadable: true }],
    ['a duration that is text', { duration: '45' }, { duration: 45 }],
    ['a duration that is empty', { duration: '' }, { duration: null }],
    ['a first visit that is false', { first_access_at: false }, { first_access_at: null }],
    ['a first visit that is empty', { first_access_at: '' }, { first_access_at: null }],
    ['an unread flat value', { interest: 'n/a', data: { interest: '2.5' } }, { interest: 2.5 }],
    ['null medians and scores', { interest: null, data: { median_percentage_read: null } }, { interest: null }],
    ['data that is no object', { data: 'x' }, { data: 'x', connections_count: null }],
  ])('is read with %s', (_, fields, expected) => {
    expect(project(fields)).toMatchObject(expected);
  });
});

describe('an item', () => {
  const common = {
    external_id: 'E',
    tags: ['a'],
    favorite: true,
    element_type: 'Doc',
    extension: 'pdf',
    file_version: 2,
    replaced_at: '2022-01-03T00:00:00Z',
    created_at: '2022-01-01T00:00:00Z',
    updated_at: '2022-01-02T00:00:00Z',
  };
  const expected = {
    id: '5',
    name: 'Brochure',
    owner_id: '7',
    owner_email: 'o@example.test',
    ...common,
    pages_count: 12,
    replaced_at: '2022-01-03T00:00:00.000Z',
    created_at: '2022-01-01T00:00:00.000Z',
    updated_at: '2022-01-02T00:00:00.000Z',
  };

  it('of V3', () => {
    const owner = { email: 'o@example.test' };
    const more = { processed: true, retention: true, retention_delay: 90 };
    const row = mapItem({ id: 5, name: 'Brochure', user_id: 7, owner, pages_count: 12, ...common, ...more }, 'v3');
    expect(filled(row)).toEqual({ ...expected, ...more, source_api: 'v3' });
  });

  it('of V2', () => {
    const owner = { id: 7, email: 'o@example.test' };
    const more = { usable: true, visible: false, type: 'Image:jpg', projects_count: 3 };
    const row = mapItem({ id: 5, title: 'Brochure', owner, num_pages: '12', ...common, ...more, file_size: '1' }, 'v2');
    expect(filled(row)).toEqual({ ...expected, ...more, file_size: 1, source_api: 'v2' });
  });
});

describe('a token', () => {
  it('of a list', () => {
    const record = {
      id: 112985,
      name: 'Jane Doe',
      project_id: 37980,
      project_name: 'Offer A',
      won: 'na',
      created_at: '2022-03-01T10:02:05.322+01:00',
      archived_at: null,
      consulted: true,
      signed: false,
      signed_status: 'no_init',
      signed_docs: [{ id: 1 }],
      interest: 3,
      external_id: 'CONTACT:9',
      generated_by_prospect: false,
      first_access_at: '2022-03-01T12:00:00.000+01:00',
      last_sign_in_at: '2022-03-02',
      total_time: 125000,
      nb_connections: 3,
      nb_platforms: '2',
      percentage_read: '80.5',
      percent_read: 80,
      downloaded: 'false',
      creator_id: 4658,
      link: 'https://link.example.test/v/abc',
      preview_url: 'https://link.example.test/p/abc',
    };
    expect(filled(mapToken(record))).toEqual({
      id: '112985',
      name: 'Jane Doe',
      project_id: '37980',
      project_name: 'Offer A',
      external_id: 'CONTACT:9',
      won: 'na',
      link: record.link,
      preview_url: record.preview_url,
      consulted: true,
      signed: false,
      generated_by_prospect: false,
      signed_status: 'no_init',
      signed_docs: [{ id: 1 }],
      interest: 3,
      first_access_at: '2022-03-01T11:00:00.000Z',
      last_sign_in_at: '2022-03-02T00:00:00.000Z',
      total_time: 125000,
      nb_connections: 3,
      nb_platforms: 2,
      percentage_read: 80.5,
      percent_read: '80',
      downloaded: false,
      creator_id: '4658',
      created_at: '2022-03-01T09:02:05.322Z',
    });
    expect(TOKENS.table.attributed).toEqual(['project_id']);
  });

  it.each([
    ['an outcome that is a number', { won: 1 }, { won: '1' }],
    ['an outcome that is a switch', { won: false }, { won: 'false' }],
    ['a first visit that is false', { first_access_at: false }, { first_access_at: null }],
    ['a last visit under its old name', { last_signin: '2016-01-01' }, { last_sign_in_at: '2016-01-01T00:00:00.000Z' }],
    ['its project as an object', { project: { id: 3, name: 'P' } }, { project_id: '3', project_name: 'P' }],
    ['its visits under another name', { connections_count: 4 }, { nb_connections: 4 }],
    ['a date of change, should one come', { updated_at: '2022-01-01' }, { updated_at: '2022-01-01T00:00:00.000Z' }],
    ['interest null', { interest: null }, { interest: null }],
  ])('is read with %s', (_, fields, expected) => {
    expect(token(fields)).toMatchObject(expected);
  });
});

describe('a connexion', () => {
  it('of a list', () => {
    const record = {
      id: 1171867,
      title: 'Jane Doe',
      access_date: '2022-03-01T12:00:00.000+01:00',
      created_at: '2022-03-01T12:00:01.000+01:00',
      total_time: 61000,
      percentage_read: 80,
      downloaded: false,
      signed: false,
      new_person: true,
      platform_id: 5,
      user_agent: 'Mozilla/5.0',
      platform: { device_type: 'desktop', device_number: 1, browser: 'Chrome', os: 'Linux', ip: '203.0.113.9' },
      most_visited_time: '3000',
      most_visited_title: 'Brochure',
      most_visited_id: 44,
    };
    expect(filled(mapConnexion(record))).toEqual({
      id: '1171867',
      title: 'Jane Doe',
      access_date: '2022-03-01T11:00:00.000Z',
      created_at: '2022-03-01T11:00:01.000Z',
      total_time: 61000,
      percentage_read: 80,
      downloaded: false,
      signed: false,
      new_person: true,
      platform_id: '5',
      device_type: 'desktop',
      device_number: '1',
      browser: 'Chrome',
      os: 'Linux',
      ip: '203.0.113.9',
      user_agent: 'Mozilla/5.0',
      most_visited_time: 3000,
      most_visited_title: 'Brochure',
      most_visited_id: '44',
    });
    expect(CONNEXIONS.table.attributed).toEqual(['token_id', 'project_id']);
  });

  it.each([
    ['its link and project by id', { token_id: 2, project_id: 3 }, { token_id: '2', project_id: '3' }],
    ['both as objects', { token: { id: 2 }, project: { id: 3, name: 'P' } }, { token_id: '2', project_id: '3' }],
    ['its project by the link', { token: { id: 2, project_id: 3 } }, { token_id: '2', project_id: '3' }],
    ['neither', {}, { token_id: null, project_id: null }],
    ['a download that is a number', { downloaded: 1 }, { downloaded: true }],
    ['a download that is a count', { downloaded: 3 }, { downloaded: true }],
    ['no download, as a number', { downloaded: 0 }, { downloaded: false }],
    ['a longest visit that is words', { most_visited_time: '1 min' }, { most_visited_time: null }],
    ['an address of its own', { ip: '203.0.113.9' }, { ip: '203.0.113.9' }],
    ['a device that is none', { platform: 'x' }, { platform_id: 'x', browser: null }],
  ])('is read with %s', (_, fields, expected) => {
    expect(connexion(fields)).toMatchObject(expected);
  });
});

describe('a user', () => {
  it('of a list', () => {
    const record = {
      id: 4658,
      first_name: 'Paul',
      last_name: 'P',
      full_name: 'Paul P',
      email: 'paul@example.test',
      phone_number: '1',
      cell_phone_number: '2',
      contact_email: 'contact@example.test',
      level_id: 1,
      locale: 'fr',
      position: 'Sales',
      is_owner: true,
      can_see_stats: false,
      last_sign_in_at: 1447923437,
      created_at: '2015-11-19T10:02:05.322+01:00',
      updated_at: '2015-11-19T10:02:05.322+01:00',
      deleted_at: '2016-11-19T10:02:05.322+01:00',
      sf_id: '0051',
      default_theme_id: 4402,
      company: { id: 11, name: 'ACME', default_theme_id: 1 },
    };
    const row = mapUser(record);
    expect(filled(row)).toEqual({
      ...record,
      id: '4658',
      level_id: '1',
      default_theme_id: '4402',
      last_sign_in_at: '2015-11-19T08:57:17.000Z',
      created_at: '2015-11-19T09:02:05.322Z',
      updated_at: '2015-11-19T09:02:05.322Z',
      deleted_at: '2016-11-19T09:02:05.322Z',
      company: undefined,
      company_id: '11',
      company_name: 'ACME',
    });
  });

  it.each([
    ['a sign-in in seconds as text', { last_sign_in_at: '1447923437' }, '2015-11-19T08:57:17.000Z'],
    ['a sign-in as elsewhere', { last_sign_in_at: '2015-11-19T08:57:17Z' }, '2015-11-19T08:57:17.000Z'],
    ['none', { last_sign_in_at: null }, null],
    ['none, said so', { last_sign_in_at: false }, null],
  ])('is read with %s', (_, fields, expected) => {
    expect(user(fields).last_sign_in_at).toBe(expected);
  });

  it('is alive where upstream says nothing, or nothing readable', () => {
    expect([user({}).deleted_at, user({ deleted_at: false }).deleted_at, user({ deleted_at: '' }).deleted_at]).toEqual([
      null,
      null,
      null,
    ]);
    expect(user({ company_id: 3 }).company_id).toBe('3');
  });
});

describe('a time in seconds', () => {
  it.each([
    ['of a number', 1447923437, '2015-11-19T08:57:17.000Z'],
    ['of numeric text', ' 1447923437 ', '2015-11-19T08:57:17.000Z'],
    ['with a fraction', 1447923437.5, '2015-11-19T08:57:17.500Z'],
    ['that is ISO text', '2015-11-19T09:57:17+01:00', '2015-11-19T08:57:17.000Z'],
    ['that is a day', '2015-11-19', '2015-11-19T00:00:00.000Z'],
    ['beyond the years of four digits (milliseconds are not guessed)', 1447923437000, null],
    ['beyond all numbers', Number.POSITIVE_INFINITY, null],
    ['that is empty', '', null],
    ['that is a word', 'yesterday', null],
    ['that is a switch', false, null],
    ['that is an object', {}, null],
    ['that is null', null, null],
  ])('%s', (_, value, expected) => {
    expect(asEpochSecondsTime(value)).toBe(expected);
  });
});

describe('the small readers', () => {
  it.each([
    [true, true],
    ['true', true],
    ['false', false],
    [0, false],
    ['0', false],
    [2, true],
    ['1', true],
    ['', null],
    ['no', null],
    [null, null],
    [{}, null],
    [Number.NaN, null],
  ])('take %p for the flag %p', (value, expected) => {
    expect(asFlag(value)).toBe(expected);
  });

  it('take the first of several that can be read', () => {
    expect(firstOf(asText, null, undefined, {}, 'b', 'c')).toBe('b');
    expect(firstOf(asText, '', 'c')).toBe('');
    expect(firstOf(asText)).toBeNull();
  });

  it('take what is no object for an empty one', () => {
    expect([asObject(null), asObject([1]), asObject('x'), asObject({ a: 1 })]).toEqual([{}, {}, {}, { a: 1 }]);
  });
});
