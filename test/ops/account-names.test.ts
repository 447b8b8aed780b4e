import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { keepAccountName, readLabels, titleOf } from '../../src/store/engine/account-names.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { type OpsSetup, setupOps } from './support.ts';

let setup: OpsSetup;
beforeAll(async () => {
  setup = await setupOps();
});
afterAll(() => setup.close());

const [A, B, C] = ['tiledesk:a', 'tiledesk:b', 'tiledesk:c'] as const;

it('an account is called by its label, else by its own name, else by its id', async () => {
  const { prisma } = setup.store;
  await keepAccountName(prisma, A, 'before');
  await keepAccountName(prisma, A, 'Shop <b>Milano</b>');
  await keepAccountName(prisma, B, 'iPhone shop');
  const labels = await readLabels(prisma, [{ id: A }, { id: B, label: 'B & sons' }, { id: C }]);
  expect([A, B, C].map((id) => titleOf(id, labels.get(id)))).toEqual([
    'Shop <b>Milano</b> (tiledesk:a)',
    'B & sons (tiledesk:b)',
    'tiledesk:c',
  ]);
});

it('the page shows a name as text, with the id beside it; a label wins', async () => {
  const streams = [A, B, C].map((connectionId) => {
    return { connectionId, stream: 'tiledesk.leads', freshWithinSeconds: 900 };
  });
  await registerStreams(setup.store.prisma, streams, { retires: 'always' });
  const server = setup.server({ names: () => [{ id: A }, { id: B, label: 'B & sons' }, { id: C }] });
  const { body } = await server.inject('/');
  expect(body).toContain('Shop &lt;b&gt;Milano&lt;/b&gt; <small class="soft">tiledesk:a</small>');
  expect(body).toContain('B &amp; sons <small class="soft">tiledesk:b</small>');
  expect(body).not.toContain('iPhone shop');
  expect(body).not.toContain('<b>Milano');
  const { connections } = (await server.inject('/api/status')).json();
  const shown = connections.map(({ id, label }: Record<string, unknown>) => [id, label]);
  expect(Object.fromEntries(shown)).toEqual({ [A]: 'Shop <b>Milano</b>', [B]: 'B & sons', [C]: null });
});
