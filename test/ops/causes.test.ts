import { expect, it } from '@jest/globals';
import { findCauses, findOutage } from '../../src/ops/causes.ts';
import type { StatusDocument, StreamFacts } from '../../src/ops/status-document.ts';
import { sentence } from '../../src/ops/view/format.ts';

const stream = (connection_id: string, name: string, facts: Partial<StreamFacts>) =>
  ({ connection_id, stream: `tiledesk.${name}`, state: 'blocked', deletions: null, ...facts }) as StreamFacts;

const NAMES = ['leads', 'requests', 'departments', 'project_users'];

it('one cause stands once, whoever it stops: those for a person first', () => {
  const refused = NAMES.map((name) => stream('tiledesk:shop', name, { reason_code: 'auth_refused' }));
  const away = ['a', 'b'].map((id) => stream(`tiledesk:${id}`, 'leads', { reason_code: 'circuit_open' }));
  const held = ['leads', 'requests'].map((name) =>
    stream('tiledesk:c', name, { state: 'partial', reason_code: 'deletion_brake', deletions: 'blocked' }),
  );
  const fresh = stream('tiledesk:d', 'leads', { state: 'fresh', reason_code: '' });
  const connections = ['a', 'b'].map((id) => ({ id: `tiledesk:${id}`, label: null, credential: 'shared' }));
  const causes = findCauses({
    streams: [...away, ...refused, ...held, fresh],
    connections: connections as unknown as StatusDocument['connections'],
  });
  expect(causes.map(({ text, streams }) => [text, streams.length])).toEqual([
    ['the sign-in of tiledesk:shop was refused', 4],
    ['the guard blocks deletions in tiledesk.leads of tiledesk:c', 1],
    ['the guard blocks deletions in tiledesk.requests of tiledesk:c', 1],
    ['the upstream of 2 accounts does not answer', 2],
  ]);
});

it('accounts are called by their labels', () => {
  const streams = [stream('tiledesk:shop', 'leads', { reason_code: 'auth_refused' })];
  const connections = [{ id: 'tiledesk:shop', label: 'Shop Milano', credential: null }];
  const [cause] = findCauses({ streams, connections: connections as unknown as StatusDocument['connections'] });
  expect(cause?.text).toBe('the sign-in of Shop Milano was refused');
});

it.each<[Partial<StreamFacts>, string]>([
  [{ reason_code: 'verify_differences' }, 'Rows of tiledesk.leads of iPhone shop differ from the upstream.'],
  [{ reason_code: 'something_else' }, 'An error stops iPhone shop.'],
  [{ reason_code: 'overdue', state: 'stale' }, 'No pass of iPhone shop was complete in time.'],
])('a name stays as it is written: %j', (facts, expected) => {
  const streams = [stream('tiledesk:shop', 'leads', facts)];
  const connections = [{ id: 'tiledesk:shop', label: 'iPhone shop', credential: null }];
  const [cause] = findCauses({ streams, connections: connections as unknown as StatusDocument['connections'] });
  expect(sentence(cause?.text ?? '')).toBe(expected);
});

it.each([
  ['tiledesk.leads of a is gone', 'tiledesk.leads of a is gone.'],
  ['iPhone shop is paused', 'iPhone shop is paused.'],
  ["the server's clock is wrong!", "The server's clock is wrong!"],
])('a sentence begins with a capital unless a name begins it: %s', (text, expected) => {
  expect(sentence(text)).toBe(expected);
});

it('nothing is sure without a queue that answers and a worker that lives', () => {
  const worker = { is_alive: true, roles: ['worker'] };
  const outageOf = (queueOk: boolean, ...processes: { is_alive: boolean; roles: string[] }[]) =>
    findOutage({ queue: { ok: queueOk }, processes } as unknown as StatusDocument);
  expect(outageOf(true, worker)).toBeNull();
  expect(outageOf(false, worker)).toBe('The queue does not answer');
  expect(outageOf(true, { ...worker, is_alive: false })).toBe('No worker is running');
  expect(outageOf(true, { ...worker, roles: ['web', 'scheduler'] })).toBe('No worker is running');
});
