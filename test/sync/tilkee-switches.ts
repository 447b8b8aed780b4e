import { describe, expect, it } from '@jest/globals';
import type { TilkeeSwitches } from '../../sandbox/tilkee.ts';
import { EQUAL } from '../helpers/compare.ts';
import {
  compareTilkee,
  setupTilkee,
  TILKEE_STREAMS,
  type TilkeeSetup,
  type TilkeeStream,
} from '../helpers/tilkee-mirror.ts';

/*
 * Every behaviour of a Tilkee server that nobody could check on a live one, one at a time: the mirror is equal after the first full read and after the
 * next full sync over edits and removals, or the stream says in a typed way why it is not.
 */
export interface Case {
  readonly name: string;
  readonly switches: Partial<TilkeeSwitches>;
  readonly env?: Readonly<Record<string, string>>;
  /** Streams that are refused, with the code of their error; absent: all equal. */
  readonly refused?: Partial<Record<TilkeeStream, string>>;
}

export const CASES: readonly Case[] = [
  { name: 'everything as documented', switches: {} },
  { name: 'lists with the oldest first', switches: { order: 'oldest' } },
  { name: 'lists with the last change first', switches: { order: 'byUpdate' } },
  { name: 'lists in some fixed order', switches: { order: 'shuffled' } },
  { name: 'has_more missing on the last page', switches: { hasMore: 'missingOnLast' } },
  { name: 'has_more missing everywhere', switches: { hasMore: 'missing' } },
  { name: 'has_more true before an empty page', switches: { hasMore: 'emptyAtEnd' } },
  {
    name: 'has_more always true',
    switches: { hasMore: 'always' },
    refused: { projects: 'more_without_rows', items: 'more_without_rows' },
  },
  { name: 'V3 caps the limit silently', switches: { v3MaxLimit: 6 } },
  { name: 'V3 refuses the limit', switches: { v3MaxLimit: 6, v3LimitTooLarge: '422' } },
  { name: 'V3 answers bare arrays', switches: { v3BareArrays: true } },
  { name: 'V3 wants commas', switches: { expandForm: 'csv' }, env: { TILKEE_ARRAY_PARAMS: 'csv' } },
  {
    name: 'V3 refuses commas that are configured',
    switches: { expandForm: 'repeated' },
    env: { TILKEE_ARRAY_PARAMS: 'csv' },
    refused: { projects: 'bad_parameter', items: 'bad_parameter' },
  },
  { name: 'bounds of creation are exclusive', switches: { createdBounds: 'exclusive' } },
  { name: 'V3 times without an offset', switches: { v3TimesHaveOffset: false } },
  { name: 'the plain V3 list holds templates', switches: { v3ProjectsHoldTemplates: true } },
  { name: 'V2 caps the limit', switches: { v2MaxLimit: 7 } },
  { name: 'V2 does not echo the limit', switches: { v2RepeatsLimit: false } },
  { name: 'V2 caps the limit and does not echo it', switches: { v2MaxLimit: 7, v2RepeatsLimit: false } },
  { name: 'total as a string', switches: { v2Total: 'string' } },
  { name: 'total as an object', switches: { v2Total: 'object' } },
  { name: 'total null', switches: { v2Total: 'null' } },
  { name: 'total missing', switches: { v2Total: 'missing' } },
  { name: 'total wrong', switches: { v2Total: 'wrong' } },
  { name: 'V2 answers bare arrays', switches: { v2BareArrays: true } },
  { name: 'empty contents as a text', switches: { v2EmptyContents: 'text' } },
  { name: 'the plain list of links holds archived ones', switches: { tokensListHoldsArchived: true } },
  {
    name: 'start_date in milliseconds, configured',
    switches: { startDateUnit: 'ms' },
    env: { TILKEE_TIME_UNIT: 'ms' },
  },
  { name: 'start_date in milliseconds, not configured', switches: { startDateUnit: 'ms' } },
  { name: 'start_date in seconds, configured otherwise', switches: {}, env: { TILKEE_TIME_UNIT: 'ms' } },
  { name: 'visits name their link', switches: { visitsName: 'token_id' } },
  { name: 'visits hold their link', switches: { visitsName: 'token_object' } },
  { name: 'visits hold their project', switches: { visitsName: 'project_object' } },
  { name: 'visits name both', switches: { visitsName: 'both' } },
  { name: 'visits are asked for link by link', switches: {}, env: { TILKEE_VISITS_BY: 'token' } },
  { name: 'ids as strings', switches: { idsAsStrings: true } },
  { name: 'numbers as strings', switches: { numbersAsStrings: true } },
  { name: 'first_access_at false', switches: { firstAccessFalse: true } },
  { name: 'duration as a string', switches: { durationAsString: true } },
  { name: 'interest null', switches: { interestNull: true } },
  { name: 'unknown fields', switches: { unknownFields: true } },
  { name: 'removed objects answer 410', switches: { removedStatus: 410 } },
  { name: 'the sign-in wants a form', switches: { oauthBody: 'form' } },
  { name: 'the sign-in wants JSON', switches: { oauthBody: 'json' }, env: { TILKEE_AUTH_BODY: 'json' } },
  { name: 'x-tilk-ref is required', switches: { tilkRefRequired: true } },
  { name: 'no list of all links (404)', switches: { refuse: { 'v2.tokens': 404 } } },
  { name: 'no list of all links (403)', switches: { refuse: { 'v2.tokens': 403 } } },
  { name: 'no list of all visits', switches: { refuse: { 'v2.connexions': 404 } } },
  {
    name: 'no list of users',
    switches: { refuse: { 'v2.users': 403 } },
    refused: { users: 'not_permitted' },
  },
  {
    name: 'no links at all',
    switches: { refuse: { 'v2.tokens': 403, 'v2.projectTokens': 403 } },
    refused: { tokens: 'not_permitted' },
  },
  {
    name: 'by-id reads are unknown to the server',
    switches: { refuse: { 'v3.project': 404, 'v2.token': 404, 'v2.connexion': 404 } },
  },
  {
    name: 'by-id reads are forbidden',
    switches: { refuse: { 'v3.project': 403, 'v2.token': 403, 'v2.connexion': 403 } },
  },
  {
    name: 'V2 does not take V3 tokens',
    switches: { v2TakesV3Tokens: false },
    refused: { tokens: 'v2_sign_in_refused', connexions: 'v2_sign_in_refused', users: 'v2_sign_in_refused' },
  },
];

const SIZES = { projects: 14, items: 24, tokens: 45, visits: 60, users: 5 };

function change({ sandbox: { data } }: TilkeeSetup): void {
  data.randomEdits(40);
  const [visit] = data.all('connexion').slice(20);
  const [token] = data.all('token').slice(12);
  const [item] = data.all('item').slice(7);
  const [archived] = data.all('token').slice(30);
  if (visit) data.remove('connexion', visit.id);
  if (token) data.remove('token', token.id);
  if (item) data.remove('item', item.id);
  if (archived) data.archive('token', archived.id);
  for (let i = 0; i < 12; i++) data.add('token');
  data.archive('token', data.add('token').id);
  data.add('project');
  data.add('connexion');
}

async function expectOutcome(setup: TilkeeSetup, pass: 'backfill' | 'reconcile', refused: Case['refused'] = {}) {
  const results = await setup.syncAll(pass);
  for (const [index, name] of TILKEE_STREAMS.entries()) {
    const { outcome, error } = results[index] ?? {};
    const code = refused[name];
    if (code !== undefined) {
      const wanted =
        pass === 'backfill' ? { outcome: 'failed', code } : { outcome: 'postponed', code: 'backfill_first' };
      expect({ name, outcome, code: error?.code }).toEqual({ name, ...wanted });
      expect(error?.message).toMatch(/\w{3,}/);
      continue;
    }
    expect({ name, outcome, error }).toEqual({ name, outcome: 'succeeded', error: null });
    expect({ name, pass, ...(await compareTilkee(setup, name)) }).toEqual({ name, pass, ...EQUAL });
  }
}

/** Each case mirrors an account, changes it, and mirrors it again. */
export function describeSwitches(cases: readonly Case[]): void {
  describe.each(cases)('$name', ({ switches, env = {}, refused }) => {
    it('ends in an equal mirror, or in a refusal that says why', async () => {
      const setup = await setupTilkee({ ...SIZES, switches, env: { TILKEE_PAGE_SIZE: '10', ...env } });
      try {
        await expectOutcome(setup, 'backfill', refused);
        change(setup);
        await expectOutcome(setup, 'reconcile', refused);
      } finally {
        await setup.close();
      }
    });
  });
}
