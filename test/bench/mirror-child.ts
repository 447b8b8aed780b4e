/** One first full read, as `leadmirror sync tiledesk.requests` does it, with its time and its peak memory. */
// @ts-expect-error plain JavaScript, the same settings as the command has
import '../../../bin/v8-flags.js';
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/logger.ts';

const { signal } = new AbortController();
const app = await createApp(loadConfig({ cwd: '/' }), { logger: silentLogger(), signal });
const found = app.findStream(app.connections[0]?.id ?? '', 'tiledesk.requests');
if (found === undefined) throw new Error('no stream');
const from = performance.now();
const result = await app.runPass({ ...found, pass: 'backfill', signal, maxWaitMs: 60_000, leaseWaitMs: 0 });
const ms = performance.now() - from;
await app.close();
if (result.outcome !== 'succeeded') throw new Error(`backfill ${result.outcome}: ${result.error?.message}`);
process.send?.({ ms, rows: result.created, peakMb: Math.round(process.resourceUsage().maxRSS / 1024) });
process.disconnect?.();
