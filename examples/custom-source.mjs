// Mirrors a list that one request answers as a whole, here the products of a shop, into the table shop.products.
//
//   SHOP_URL=https://shop.example/products.json node examples/custom-source.mjs
//
// docs/new-source.md explains the parts, with a source that has pages, changes and deletions.
import {
  asId,
  asMs,
  asNumber,
  asObject,
  asText,
  asTime,
  createApp,
  createLogger,
  createSnapshotWalk,
  defineConnection,
  defineStream,
  loadConfig,
  syncOnce,
  UpstreamRefusedError,
} from 'leadmirror';

const { SHOP_URL = 'http://localhost:8000/products.json' } = process.env;

function connectShop({ upstream }) {
  const account = { source: 'shop', credential: `shop:${new URL(SHOP_URL).host}`, requestsPerMinute: 60 };
  const server = upstream(account);

  async function fetchProducts(_query, options) {
    const { status, body, serverTime } = await server.request({ method: 'GET', url: SHOP_URL }, options);
    if (status !== 200) throw new UpstreamRefusedError('refused', `the list of products: ${status}`, { status });
    const records = body.map(asObject);
    const entries = records.map(({ id, changed }) => ({ id: asId(id), createdAt: null, updatedAt: asMs(changed) }));
    return { records, entries, pageSize: null, total: records.length, serverTime };
  }

  const products = defineStream({
    name: 'shop.products',
    columns: { title: 'text', price: 'double precision' },
    map: ({ id, title, price, changed }) => ({
      id: asId(id),
      title: asText(title),
      price: asNumber(price),
      updated_at: asTime(changed),
    }),
    lists: () => [{ id: 'all', holdsAll: true, walk: createSnapshotWalk(), fetchPage: fetchProducts }],
  });
  return [defineConnection({ ...account, id: 'shop:main', streams: [products] })];
}

const signal = AbortSignal.timeout(600_000);
const config = loadConfig({}, { requireConnections: false });
const app = await createApp(config, { logger: await createLogger(config.log), signal, connect: connectShop });
try {
  const reports = await syncOnce(app, { signal });
  for (const { stream, outcome, created, updated, error } of reports) {
    console.log(JSON.stringify({ stream, outcome, created, updated, error }));
    if (outcome !== 'succeeded') process.exitCode = 1;
  }
} finally {
  await app.close();
}
