/** One pass of one stream (`tiledesk.leads backfill`), as `leadmirror sync` does it, with its time and its counts. */
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/logger.ts';
import type { Pass } from '../../src/stream.ts';

const [name = '', pass = 'backfill'] = process.argv.slice(2);
const { signal } = new AbortController();
const app = await createApp(loadConfig({ cwd: '/' }), { logger: silentLogger(), signal });
const found = app.findStream(app.connections[0]?.id ?? '', name);
if (found === undefined) throw new Error(`no stream ${name}`);
const from = performance.now();
const result = await app.runPass({ ...found, pass: pass as Pass, signal, maxWaitMs: 60_000, leaseWaitMs: 0 });
const ms = performance.now() - from;
await app.close();
if (result.outcome !== 'succeeded') throw new Error(`${pass} ${result.outcome}: ${result.error?.message}`);
const { requests, pages, read, created, updated, unchanged, deleted } = result;
const peakMb = Math.round(process.resourceUsage().maxRSS / 1024);
process.send?.({ ms, requests, pages, read, created, updated, unchanged, deleted, peakMb });
process.disconnect?.();
