import { describe, expect, it } from '@jest/globals';
import { selectKnown } from '../../src/cli/selection.ts';

const known = [
  ['tiledesk:a', 'tiledesk.leads'],
  ['tiledesk:b', 'tiledesk.leads'],
  ['tilkee:c', 'tilkee.users'],
  ['crm:d', 'crm.users'],
].map(([connectionId = '', stream = '']) => ({ connectionId, stream }));
const selected = (...names: string[]) => selectKnown(known, names, undefined).map(({ connectionId }) => connectionId);

describe('streams by name', () => {
  it.each([
    [['tiledesk.leads'], ['tiledesk:a', 'tiledesk:b']],
    [['leads'], ['tiledesk:a', 'tiledesk:b']],
    [
      ['crm', 'leads'],
      ['tiledesk:a', 'tiledesk:b', 'crm:d'],
    ],
    [[], ['tiledesk:a', 'tiledesk:b', 'tilkee:c', 'crm:d']],
  ])('%j', (names, ids) => {
    expect(selected(...names)).toEqual(ids);
  });

  it('of two sources is given in full, and the message names both', () => {
    expect(() => selected('users')).toThrow('users may be crm.users or tilkee.users: give the whole name');
    expect(selected('crm.users')).toEqual(['crm:d']);
  });

  it('that nobody knows is refused with those that are known', () => {
    expect(() => selected('eads')).toThrow('There is no stream eads. Known: crm, crm.users, tiledesk, tiledesk.leads');
  });
});
