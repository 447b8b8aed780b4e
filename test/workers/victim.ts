import { silentLogger } from '../../src/logger.ts';
import { startDaemon } from '../../workers/main.ts';
import { createStubApp, StubUpstream } from './support.ts';

/** A process of its own that begins to read and never ends, to be killed in the middle of a run. */
const { connection, rows, prefix, lockMs, ...rest } = JSON.parse(process.argv[2] ?? '{}');
const upstream = new StubUpstream(connection, rows);
upstream.trouble = (page) => {
  if (page < 2) return;
  process.stdout.write('reading\n');
  return new Promise(() => {});
};
const app = await createStubApp({ ...rest, upstreams: [upstream] });
await startDaemon(app, {
  roles: ['scheduler', 'worker'],
  logger: silentLogger(),
  signal: new AbortController().signal,
  queueOptions: { prefix, lockMs },
});
