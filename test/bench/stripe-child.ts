/** Customers of a simulated Stripe, for the peer that is measured beside: newest first, one a second, each filled up to a number of bytes. Serves until killed. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [rows, bytesEach] = process.argv.slice(2).map(Number) as [number, number];
const NEWEST = 1_700_000_000;

function customer(index: number): Record<string, unknown> {
  const record = {
    ...{ id: `cus_${String(index).padStart(10, '0')}`, object: 'customer', created: NEWEST - index },
    ...{ email: `person${index}@example.com`, name: `Made Up ${index}`, phone: `+39000${index}`, description: '' },
    ...{ currency: 'eur', balance: 0, delinquent: false, livemode: false, metadata: { source: 'chat' } },
  };
  return { ...record, description: 'x'.repeat(Math.max(0, bytesEach - JSON.stringify(record).length)) };
}
const customers = Array.from({ length: rows }, (_, index) => customer(index));

function pageOf(asked: URLSearchParams): unknown {
  const bound = (names: readonly string[], unless: number) =>
    Number(names.flatMap((name) => asked.get(name) ?? [])[0] ?? unless);
  const newest = bound(['created[lte]', 'created[lt]'], NEWEST);
  const oldest = bound(['created[gte]', 'created[gt]'], 0);
  const after = asked.get('starting_after');
  const from = after === null ? Math.max(0, NEWEST - newest) : Number(after.slice('cus_'.length)) + 1;
  const end = Math.min(rows, NEWEST - oldest + 1);
  const to = Math.min(end, from + Number(asked.get('limit') ?? 10));
  return { object: 'list', url: '/v1/customers', has_more: to < end, data: customers.slice(from, to) };
}

const server = createServer(({ url = '/' }, response) => {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify(pathname === '/v1/customers' ? pageOf(searchParams) : { id: 'acct_1', object: 'account' }),
  );
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.once('disconnect', () => process.exit());
process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
