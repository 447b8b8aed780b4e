import { describe, expect, it } from '@jest/globals';
import { createPseudonyms, rulesOf, withFieldPolicy } from '../../src/sources/field-policy.ts';
import type { Connection, FieldPolicy, Stream } from '../../src/stream.ts';

const pseudonymOf = createPseudonyms(Buffer.alloc(32, 7));

function restricted(policy: Partial<FieldPolicy>, stream: string, record: unknown): unknown {
  const connection = { id: 'x', streams: [{ name: stream, redactRecord: (given: unknown) => given } as Stream] };
  const all = rulesOf({ presets: [], fields: [], ...policy });
  return withFieldPolicy(connection as unknown as Connection, all, pseudonymOf).streams[0]?.redactRecord(record);
}

describe('pseudonyms', () => {
  it.each([
    ['Anna@Example.com', ' anna@example.com ', /^[a-z2-7]{26}@pseudonym\.invalid$/],
    ['+39 06 123-4567', '0039061234567', /^\+999\d{12}$/],
    ['Anna Rossi', ' Anna Rossi', /^p_[a-z2-7]{26}$/],
  ])('of %j and %j are the same, and keep the form', (one, other, form) => {
    expect(pseudonymOf(one)).toMatch(form);
    expect(pseudonymOf(other)).toBe(pseudonymOf(one));
    expect(pseudonymOf(pseudonymOf(one))).toBe(pseudonymOf(one));
    expect(createPseudonyms(Buffer.alloc(32, 8))(one)).not.toBe(pseudonymOf(one));
  });

  it('of ten thousand addresses and numbers all differ', () => {
    const all = Array.from({ length: 10_000 }, (_, index) => [`p${index}@example.com`, `+3906${1_000_000 + index}`]);
    expect(new Set(all.flat().map(pseudonymOf)).size).toBe(20_000);
  });
});

describe('a policy', () => {
  const lead = { _id: '1', email: 'a@example.com', fullname: 'A', note: 'x', tags: ['t'], properties: { a: 1 } };

  it('of the preset contact leaves nothing of a person in a lead', () => {
    expect(restricted({ presets: ['contact'] }, 'tiledesk.leads', lead)).toEqual({
      ...{ _id: '1', tags: ['t'] },
      ...{ email: pseudonymOf('a@example.com'), fullname: pseudonymOf('A') },
    });
  });

  it('of single fields wins over presets', () => {
    const fields = [
      { stream: 'tiledesk.leads', path: ['email'], action: 'drop' as const },
      { stream: 'tiledesk.leads', path: ['fullname'], action: 'keep' as const },
    ];
    expect(restricted({ presets: ['contact'], fields }, 'tiledesk.leads', lead)).toEqual({
      ...{ _id: '1', tags: ['t'], fullname: 'A' },
    });
  });

  it('reaches into objects and lists, and leaves all else as it is', () => {
    const request = {
      _id: 'r',
      snapshot: { lead: lead, department: { name: 'D' } },
      first_text: 'hi',
      attributes: null,
    };
    const agents = [{ _id: 'u', email: 'agent@example.com', firstname: 'Bo' }, 'id-only'];
    expect(
      restricted({ presets: ['contact', 'texts', 'agents'] }, 'tiledesk.requests', {
        ...request,
        participatingAgents: agents,
      }),
    ).toEqual({
      ...{ _id: 'r', attributes: null },
      participatingAgents: [
        { _id: 'u', email: pseudonymOf('agent@example.com'), firstname: pseudonymOf('Bo') },
        'id-only',
      ],
      snapshot: {
        department: { name: 'D' },
        lead: { _id: '1', tags: ['t'], email: pseudonymOf('a@example.com'), fullname: pseudonymOf('A') },
      },
    });
    expect(restricted({ presets: ['texts'] }, 'tiledesk.leads', lead)).toBe(lead);
    expect(restricted({ presets: ['contact'] }, 'tiledesk.leads', { _id: '2', email: null, phone: '' })).toEqual({
      ...{ _id: '2', email: null, phone: '' },
    });
  });

  it('replaces what is written on a link only where it is contact data', () => {
    const link = (name: string, external_id: unknown) =>
      restricted({ presets: ['contact'] }, 'tilkee.tokens', { id: 1, name, external_id });
    expect(link('Offer for Anna', '600000000000000000000e10')).toEqual({
      ...{ id: 1, name: 'Offer for Anna', external_id: '600000000000000000000e10' },
    });
    expect(link('a@example.com', '+39 06 123 4567')).toEqual({
      ...{ id: 1, name: pseudonymOf('a@example.com'), external_id: pseudonymOf('0039061234567') },
    });
    expect(link('12345678', 42)).toEqual({ id: 1, name: '12345678', external_id: 42 });
  });
});
