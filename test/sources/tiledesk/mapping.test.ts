import { describe, expect, it } from '@jest/globals';
import {
  asBigint,
  asBoolean,
  asId,
  asInteger,
  asMs,
  asNumber,
  asText,
  asTexts,
  asTime,
} from '../../../src/sources/coerce.ts';
import { ACTIVITIES, withoutCopies } from '../../../src/sources/tiledesk/activities.ts';
import { LEADS } from '../../../src/sources/tiledesk/leads.ts';
import { MESSAGES } from '../../../src/sources/tiledesk/messages.ts';
import { REQUESTS } from '../../../src/sources/tiledesk/requests.ts';
import { BOTS, DEPARTMENTS, GROUPS, PROJECT_USERS, TAGS } from '../../../src/sources/tiledesk/short-lists.ts';
import fc from '../../helpers/property.ts';
import { fixtures, type Json } from './support.ts';

const ID = '6b01f6b302cc2a3f90319305';
const LEAD = '6b01f6b302cc2a3f903192f8';

const request = (fields: Json) => REQUESTS.mapRecord({ _id: ID, ...fields });
const lead = (fields: Json) => LEADS.mapRecord({ _id: ID, ...fields });

describe('references of a request', () => {
  it.each([
    ['a plain id', { lead: LEAD, requester_id: LEAD }, LEAD],
    ['a populated lead', { lead: { _id: LEAD, fullname: 'x' }, requester_id: LEAD }, LEAD],
    ['a populated lead without requester_id', { lead: { _id: LEAD } }, LEAD],
    ['a lead known by its `id` only', { lead: { id: LEAD } }, LEAD],
    ['a populated lead that is gone', { lead: null, requester_id: null }, null],
    ['a populated lead that is gone, on a server that keeps the id', { lead: null, requester_id: LEAD }, LEAD],
    ['no lead', {}, null],
    ['a lead that is neither', { lead: 7.5, requester_id: true }, '7.5'],
    ['an empty object', { lead: {} }, null],
  ])('to its lead: %s', (_, fields, lead_id) => {
    expect(request(fields).lead_id).toBe(lead_id);
  });

  it('are the same whether populated or plain', () => {
    const plain = new Map(
      fixtures('requests')
        .filter(({ lead: one }) => typeof one === 'string')
        .map((one) => [one._id, one]),
    );
    const populated = fixtures('requests').filter(({ lead: one }) => typeof one === 'object');
    const both = populated.flatMap((one) => {
      const other = plain.get(one._id);
      return other === undefined ? [] : [[REQUESTS.mapRecord(one), REQUESTS.mapRecord(other)] as const];
    });
    expect(both.length).toBeGreaterThan(0);
    for (const [one, other] of both) {
      for (const column of ['lead_id', 'requester_id', 'requester', 'department_id', 'participants', 'channel']) {
        expect({ [column]: one[column] }).toEqual({ [column]: other[column] });
      }
    }
  });

  it.each([
    ['department', 'department_id'],
    ['requester', 'requester'],
    ['assignee', 'assignee'],
  ])('to its %s', (field, column) => {
    expect(request({ [field]: LEAD })[column]).toBe(LEAD);
    expect(request({ [field]: { _id: LEAD, name: 'x' } })[column]).toBe(LEAD);
    expect(request({ [field]: null })[column]).toBeNull();
    expect(request({})[column]).toBeNull();
  });

  it('to its participants: ids and objects, nothing else', () => {
    const participants = [LEAD, `bot_${LEAD}`, { _id: 'a' }, null, '', 7, {}];
    expect(request({ participants }).participants).toEqual([LEAD, `bot_${LEAD}`, 'a', '7']);
  });

  it('to its channel, by name or as an object; and to its tags', () => {
    const row = request({
      channel: { name: 'form' },
      channelOutbound: 'email',
      tags: [{ tag: 'a', color: 'x' }, 'b', {}, null],
    });
    expect(row).toMatchObject({ channel: 'form', channel_outbound: 'email', tags: ['a', 'b'] });
  });
});

describe('a field that is absent', () => {
  it.each([
    ['request', REQUESTS.mapRecord],
    ['lead', LEADS.mapRecord],
    ['department', DEPARTMENTS.mapRecord],
    ['project user', PROJECT_USERS.mapRecord],
  ])('is null in every column of a %s, as one that is null', (_, map) => {
    const { id, raw, ...empty } = map({ _id: ID });
    expect([id, raw]).toEqual([ID, { _id: ID }]);
    expect(Object.values(empty).filter((value) => value !== null)).toEqual([]);
    const nulls = Object.fromEntries(
      [
        'lead',
        'status',
        'tags',
        'attributes',
        'createdAt',
        'updatedAt',
        'participants',
        'id_user',
        'presence',
        'groups',
        'rating',
      ].map((name) => [name, null]),
    );
    const { id: _id, raw: _raw, ...others } = map({ _id: ID, ...nulls });
    expect(others).toEqual(empty);
  });
});

describe('a value of the wrong type', () => {
  it.each([
    [
      'a number as text',
      { status: '1000', ticket_id: '12', rating: '4.5' },
      { status: 1000, ticket_id: 12, rating: 4.5 },
    ],
    [
      'text that is no number',
      { status: 'open', ticket_id: 'x', rating: '' },
      { status: null, ticket_id: null, rating: null },
    ],
    [
      'an object',
      { status: {}, first_text: { a: 1 }, preflight: [] },
      { status: null, first_text: null, preflight: null },
    ],
    ['a number as text of a person', { subject: 42, language: true }, { subject: '42', language: 'true' }],
    [
      'a switch as text',
      { preflight: 'true', draft: 0, hasBot: 'no' },
      { preflight: true, draft: false, has_bot: null },
    ],
    [
      'a list that is none',
      { participants: 'a', tags: {}, followers: null },
      { participants: null, tags: null, followers: null },
    ],
    ['a fraction where a whole number is due', { status: 100.5, ticket_id: 1.5 }, { status: null, ticket_id: null }],
  ])('costs its column, never the row: %s', (_, fields, expected) => {
    const row = request(fields);
    expect(row).toMatchObject(expected);
    expect(row.raw).toEqual({ _id: ID, ...fields });
  });

  it.each([
    ['too large for its column', { status: 2 ** 31 }, { status: null }],
    ['as large as its column', { status: 2 ** 31 - 1 }, { status: 2 ** 31 - 1 }],
    [
      'beyond what JavaScript holds',
      { ticket_id: 2 ** 53, duration: '99999999999999999999' },
      { ticket_id: null, duration_ms: null },
    ],
    ['as large as JavaScript holds', { ticket_id: Number.MAX_SAFE_INTEGER }, { ticket_id: Number.MAX_SAFE_INTEGER }],
    [
      'beyond all numbers',
      { rating: '1e999', waiting_time: Number.POSITIVE_INFINITY },
      { rating: null, waiting_time_ms: null },
    ],
    ['below zero', { duration: -5 }, { duration_ms: -5 }],
  ])('or a number %s', (_, fields, expected) => {
    expect(request(fields)).toMatchObject(expected);
  });
});

describe('a date', () => {
  it.each([
    ['as the server writes it', '2026-11-21T19:53:23.176Z', '2026-11-21T19:53:23.176Z'],
    ['without fractions', '2026-11-21T19:53:23Z', '2026-11-21T19:53:23.000Z'],
    ['with microseconds', '2026-11-21T19:53:23.176999Z', '2026-11-21T19:53:23.176Z'],
    ['with an offset', '2026-11-21T19:53:23+02:00', '2026-11-21T17:53:23.000Z'],
    ['in milliseconds', 1_700_000_000_000, '2023-11-14T22:13:20.000Z'],
    ['of a day', '2026-11-21', '2026-11-21T00:00:00.000Z'],
    ['long ago', '1000-01-01T00:00:00.000Z', '1000-01-01T00:00:00.000Z'],
    ['as far as four digits go', '9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
    ['without an offset, which is UTC', '2026-11-21T19:53:23', '2026-11-21T19:53:23.000Z'],
  ])('is read: %s', (_, value, expected) => {
    expect(lead({ createdAt: value }).created_at).toBe(expected);
  });

  it.each([
    ['a word', 'yesterday'],
    ['a word with a number, in which some see a year', 'visitor 7'],
    ['a lone number as text', '5'],
    ['a day in another order', '21/11/2026'],
    ['American', '11/21/2026'],
    ['a date that is not there', '2026-02-30T00:00:00Z'],
    ['a month that is not there', '2026-13-01T00:00:00Z'],
    ['beyond four digits', '+012026-01-01T00:00:00.000Z'],
    ['before four digits', '0999-12-31T23:59:59.999Z'],
    ['beyond all time', 1e300],
    ['nothing', ''],
    ['no number', Number.NaN],
    ['an object', { $date: '2026-01-01T00:00:00Z' }],
    ['a switch', true],
  ])('is not guessed: %s', (_, value) => {
    expect(lead({ createdAt: value, updatedAt: value })).toMatchObject({ created_at: null, updated_at: null });
  });

  it('of any millisecond comes back as it was', () => {
    const time = fc.date({
      min: new Date('1000-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(time, (date) => {
        expect(asTime(date.toISOString())).toBe(date.toISOString());
        expect(asMs(date.getTime())).toBe(date.getTime());
      }),
    );
  });
});

describe('a lead that the upstream calls deleted', () => {
  const updatedAt = '2026-11-21T19:53:23.176Z';
  const createdAt = '2026-11-20T00:00:00.000Z';

  it.each([
    ['the time of its change', { status: 1000, updatedAt, createdAt }, updatedAt],
    ['the time of its creation where it has no other', { status: 1000, createdAt }, createdAt],
    ['the beginning of time where it has none', { status: 1000, updatedAt: 'x' }, '1970-01-01T00:00:00.000Z'],
    ['the time of its change, with a status as text', { status: '1000', updatedAt }, updatedAt],
  ])('is marked with %s', (_, fields, deleted_at) => {
    expect(lead(fields)).toMatchObject({ status: 1000, deleted_at });
  });

  it.each([[100], [50], [150], [null], [undefined]])('is not one of status %p', (status) => {
    expect(lead({ status, updatedAt }).deleted_at).toBeNull();
  });

  it('and a closed request is none', () => {
    expect(request({ status: 1000, updatedAt }).deleted_at).toBeNull();
  });
});

describe('a member of the project', () => {
  it.each([
    ['populated', { _id: 'u1', firstname: 'Olga', lastname: 'Owner', email: 'o@example.com' }, 'u1', 'Olga'],
    ['plain', 'u1', 'u1', null],
    ['gone', null, null, null],
    ['absent, as with guests', undefined, null, null],
  ])('has its user %s', (_, id_user, id, firstname) => {
    expect(PROJECT_USERS.mapRecord({ _id: ID, id_user })).toMatchObject({ id_user: id, firstname });
  });
});

it('whatever comes, a reader gives a value of its type or null', () => {
  const fits = (value: unknown, test: (value: never) => boolean) => value === null || test(value as never);
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true }), (value) => {
      expect(fits(asText(value), (text) => typeof text === 'string')).toBe(true);
      expect(fits(asId(value), (text: string) => typeof text === 'string' && text !== '')).toBe(true);
      expect(fits(asNumber(value), Number.isFinite)).toBe(true);
      expect(fits(asInteger(value), (number: number) => Number.isInteger(number) && Math.abs(number) < 2 ** 31)).toBe(
        true,
      );
      expect(fits(asBigint(value), Number.isSafeInteger)).toBe(true);
      expect(fits(asBoolean(value), (flag) => typeof flag === 'boolean')).toBe(true);
      expect(fits(asTime(value), (text: string) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text))).toBe(true);
      expect(fits(asTexts(value), (texts: unknown[]) => texts.every((text) => typeof text === 'string'))).toBe(true);
    }),
  );
});

describe('messages, as captured from a server', () => {
  const [text, image, closing] = fixtures('messages') as [Json, Json, Json];

  it('of a person', () => {
    expect(MESSAGES.mapRecord(text)).toEqual({
      id: '6b01f6b202cc2a3f9031916a',
      request_id: 'support-group-6b01f68602cc2a3f90318f69-76ba87ea5370442c9a39c43d566838cb',
      sender: '6b01f6411719e13e30c4f4a8',
      sender_fullname: 'Olga Owner',
      recipient_fullname: null,
      type: 'text',
      channel_type: 'group',
      channel: 'chat21',
      text: 'Hello, made-up reply',
      language: null,
      status: 0,
      subtype: null,
      attributes: null,
      metadata: null,
      id_project: '6b01f68602cc2a3f90318f69',
      created_by: '6b01f6411719e13e30c4f4a8',
      created_at: '2026-11-21T19:53:22.554Z',
      updated_at: '2026-11-21T19:53:22.554Z',
      deleted_at: null,
      raw: text,
    });
  });

  it('with a picture, and of the system', () => {
    const metadata = { src: 'https://www.example.com/a.png', width: 10, height: 10 };
    expect(MESSAGES.mapRecord(image)).toMatchObject({ type: 'image', text: 'A picture', metadata });
    expect(MESSAGES.mapRecord(closing)).toMatchObject({ sender: 'system', subtype: 'info/support', metadata: 'en' });
  });

  it('in odd forms', () => {
    const odd = { _id: ID, channel: 'email', attributes: 'x', sender: { _id: LEAD }, status: '150' };
    expect(MESSAGES.mapRecord(odd)).toMatchObject({
      channel: 'email',
      subtype: null,
      sender: LEAD,
      status: 150,
      request_id: null,
    });
  });
});

describe('the short lists, as captured from a server', () => {
  const first = (name: 'bots' | 'groups' | 'tags') => fixtures(name)[0] as Json;
  const PROJECT = '6b01f68602cc2a3f90318f69';
  const OWNER = '6b01f6411719e13e30c4f4a8';

  it('a bot', () => {
    expect(BOTS.mapRecord(first('bots'))).toEqual({
      id: '6b01f7b6c5fc0f410742f32b',
      name: 'Made-up bot',
      slug: 'made-up-bot',
      description: null,
      type: 'internal',
      language: 'en',
      intents_engine: 'none',
      webhook_enabled: false,
      trained: true,
      score: 0,
      public: false,
      certified: false,
      tags: [],
      certified_tags: [],
      trashed: false,
      agents_available: false,
      id_project: PROJECT,
      created_by: OWNER,
      created_at: '2026-11-21T19:57:42.781Z',
      updated_at: '2026-11-21T19:57:42.781Z',
      deleted_at: null,
      raw: first('bots'),
    });
  });

  it('a group, with members as ids or as objects', () => {
    expect(GROUPS.mapRecord({ ...first('groups'), members: [LEAD, { _id: ID }, null] })).toMatchObject({
      id: '6b01f7b6c5fc0f410742f339',
      name: 'Made-up group',
      members: [LEAD, ID],
      enabled: true,
      trashed: false,
      attributes: null,
      id_project: PROJECT,
    });
  });

  it('a tag', () => {
    expect(TAGS.mapRecord(first('tags'))).toMatchObject({
      id: '6b01f7b6c5fc0f410742f324',
      tag: 'billing',
      color: '#ff0000',
      attributes: null,
      created_by: OWNER,
      created_at: '2026-11-21T19:57:42.759Z',
    });
  });
});

describe('an activity', () => {
  const rows = new Map(
    fixtures('activities').map((record) => [String(record._id).slice(-2), ACTIVITIES.mapRecord(withoutCopies(record))]),
  );
  const of = (number: string) => rows.get(number);
  const conversation_id = '6a0000000000000000000e10';
  const [andy, zoe, sue] = [1, 2, 3].map((number) => `5f0000000000000000000${String(number).padStart(3, '0')}`);

  it('of a conversation names who did what, with whom', () => {
    expect(of('03')).toEqual({
      id: '6b0000000000000000000003',
      verb: 'REQUEST_ASSIGNED_MANUAL',
      actor_type: 'user',
      actor_id: sue,
      target_type: 'request',
      target_id: conversation_id,
      conversation_id,
      user_id: null,
      assignee_id: zoe,
      assignee_type: 'user',
      previous_assignee_id: andy,
      source: 'api',
      action: of('03')?.action,
      id_project: '600000000000000000000001',
      created_by: null,
      created_at: '2026-11-02T09:10:00.000Z',
      updated_at: '2026-11-02T09:10:00.000Z',
      deleted_at: null,
      raw: of('03')?.raw,
    });
    expect(of('02')).toMatchObject({ actor_type: 'system', actor_id: 'system', assignee_id: andy, source: 'queue' });
    expect(of('06')).toMatchObject({
      verb: 'REQUEST_UNASSIGNED',
      assignee_id: zoe,
      action: { removedParticipants: [zoe] },
    });
    expect(of('07')).toMatchObject({
      verb: 'REQUEST_CLOSE',
      actor_id: andy,
      conversation_id,
      assignee_id: null,
      action: {},
    });
  });

  it('names the same in the form of later servers, whose target is the agent', () => {
    expect(of('04')).toMatchObject({ conversation_id, target_type: 'user', user_id: andy, previous_assignee_id: zoe });
    expect(of('04')).toMatchObject({ assignee_id: andy, assignee_type: 'user' });
    expect(of('05')).toMatchObject({ conversation_id, actor_id: zoe, assignee_id: zoe, assignee_type: 'user' });
  });

  it('of a member, an invitation or a bot is about no conversation', () => {
    expect(of('08')).toMatchObject({ conversation_id: null, user_id: zoe, assignee_id: null, source: 'api' });
    expect(of('09')).toMatchObject({ target_type: 'pendinginvitation', user_id: null, action: { role: 'agent' } });
    expect(of('10')).toMatchObject({ target_type: 'chatbot', target_id: '6a0000000000000000000b01', action: {} });
  });

  it('keeps nothing of what it is about but ids and states, and stays as it is when it is reduced again', () => {
    for (const row of rows.values()) {
      expect(JSON.stringify(row)).not.toMatch(/@|Vera|Andy|Zoë|Sue|order|Made-up/);
      expect(withoutCopies(row.raw)).toEqual(row.raw);
    }
    for (const broken of [{ _id: 'a', target: '/x', actor: 7, actionObj: [] }, { _id: 'a' }]) {
      const row = ACTIVITIES.mapRecord(withoutCopies(broken));
      expect(row).toMatchObject({ id: 'a', actor_id: null, target_id: null, conversation_id: null, assignee_id: null });
    }
  });
});

describe('an id', () => {
  it.each([
    ['text', 'a', 'a'],
    ['a number', 7, '7'],
    ['inside objects, however deep', JSON.parse(`${'{"_id":'.repeat(20_000)}"x"${'}'.repeat(20_000)}`), 'x'],
    ['with what Postgres cannot store', 'a\0\uD800', 'a\uFFFD\uFFFD'],
    ['as long as an index takes', 'x'.repeat(256), 'x'.repeat(256)],
    ['that is longer', 'x'.repeat(257), null],
    ['beyond all numbers', JSON.parse('1e400'), null],
    ['that is none', true, null],
    ['in a list', ['a'], null],
  ])('%s', (_, value, expected) => {
    expect(asId(value)).toBe(expected);
  });
});
