import { describe, expect, it } from '@jest/globals';
import { RecordError } from '../../src/errors.ts';
import { defineConnection, defineStream, type StreamDefinition } from '../../src/sources/define.ts';
import type { ColumnType } from '../../src/stream.ts';

type Columns = Readonly<Record<string, ColumnType>>;

const define = (definition: Partial<StreamDefinition<Columns>> = {}) =>
  defineStream<Columns>({
    name: 'desk.tickets',
    columns: { subject: 'text', tags: 'text[]' },
    map: ({ id, subject, changed }) => ({ id, subject, ...(changed !== undefined && { updated_at: String(changed) }) }),
    lists: () => [],
    ...definition,
  });

describe('defineStream', () => {
  it('names the table after the stream and gives every table its dates', () => {
    expect(define().table).toEqual({
      schema: 'desk',
      name: 'tickets',
      columns: { subject: 'text', tags: 'text[]', created_at: 'timestamptz', updated_at: 'timestamptz' },
    });
  });

  it('fills in what every row has', () => {
    const record = { id: 7, subject: 'printer', changed: '2026-03-01T00:00:00.000Z', more: true };
    expect(define().mapRecord(record)).toEqual({
      ...{ id: '7', subject: 'printer', tags: null, created_at: null, updated_at: '2026-03-01T00:00:00.000Z' },
      ...{ deleted_at: null, raw: record },
    });
    expect(define().mapRecord({ id: 'a' })).toMatchObject({ updated_at: null });
  });

  it.each([[null], ['text'], [[1]], [{ id: null }], [{ id: '' }], [{ id: true }]])(
    'sets %j aside, which has no usable id',
    (record) => {
      expect(() => define().mapRecord(record)).toThrow(RecordError);
    },
  );

  it('does not lose a column that has no place without a word', () => {
    const stream = define({ map: ({ id }) => ({ id, colour: 'red' }) });
    expect(() => stream.mapRecord({ id: '1' })).toThrow('desk.tickets has no column colour');
  });

  it('leaves out secrets of accounts unless it says itself what to leave out', () => {
    const record = { id: 1, ip: '203.0.113.7', password: 'x' };
    expect(define({}).redactRecord(record)).toEqual({ id: 1, ip: '203.0.113.7' });
    expect(define({ redact: (same) => same }).redactRecord(record)).toBe(record);
  });

  it('redacts objects only, and leaves the rest to the mapping', () => {
    const stream = define({ redact: ({ email: _, ...rest }) => rest });
    expect(stream.redactRecord({ id: 1, email: 'somebody' })).toEqual({ id: 1 });
    expect(stream.redactRecord('text')).toBe('text');
  });

  it.each([['tickets'], ['desk.tickets.more'], ['Desk.tickets'], ['desk.tick-ets'], ['desk.1st'], ['desk.']])(
    'refuses the name %s',
    (name) => {
      expect(() => define({ name })).toThrow(TypeError);
    },
  );

  it.each([['sync.runs'], ['tiledesk.notes'], ['tilkee.x'], ['reporting.x'], ['bullmq.x'], ['public.x'], ['pg_x.y']])(
    'refuses the schema of %s',
    (name) => {
      expect(() => define({ name })).toThrow(/another meaning/);
    },
  );

  it.each<[Columns]>([
    [{ raw: 'jsonb' }],
    [{ connection_id: 'text' }],
    [{ 'bad name': 'text' }],
    [{ updated_at: 'text' }],
  ])('refuses the columns %j', (columns) => {
    expect(() => define({ columns })).toThrow(TypeError);
  });
});

describe('defineConnection', () => {
  const account = { id: 'desk:main', source: 'desk', credential: 'desk:desk.example', streams: [define()] };
  const options = { signal: new AbortController().signal, maxWaitMs: 0, onRequest: () => {} };

  it('opens without a request unless told otherwise', async () => {
    expect(await defineConnection(account).open(options)).toEqual({ summary: 'desk' });
    const open = async () => ({ summary: 'Acme, role admin' });
    expect(await defineConnection({ ...account, open }).open(options)).toEqual({ summary: 'Acme, role admin' });
  });

  it.each([
    ['a source that is built in', { source: 'tiledesk' }],
    ['a stream of another source', { source: 'shop' }],
    ['the same stream twice', { streams: [define(), define()] }],
    ['an id with a space', { id: 'desk main' }],
    ['an id with a point, which divides the names of jobs', { id: 'desk.main' }],
  ])('refuses %s', (_, change) => {
    expect(() => defineConnection({ ...account, ...change })).toThrow(TypeError);
  });
});
