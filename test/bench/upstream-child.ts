/** An upstream that answers at once, in a process of its own: what it does costs the process that is measured nothing. Serves until killed. */
import { startEndlessTiledesk } from '../helpers/endless-tiledesk.ts';

const [projectId = '', options = '{}'] = process.argv.slice(2);
const { leads, requests, bytesEach, latencyMs } = JSON.parse(options) as {
  readonly leads: number;
  readonly requests: number;
  readonly bytesEach?: number;
  readonly latencyMs?: number;
};
const filled = bytesEach === undefined ? {} : { bytesEach };
const project = {
  leads: { rows: leads, spacingMs: 2_000, ...filled },
  requests: { rows: requests, spacingMs: 2_000, ...filled },
};
const upstream = await startEndlessTiledesk({ project: (id) => (id === projectId ? project : undefined) });
if (latencyMs !== undefined)
  upstream.faults.push({ kind: 'slow', delayMs: latencyMs, times: Number.POSITIVE_INFINITY });
// Whoever started it may be killed: nobody is left to end this one then.
process.once('disconnect', () => process.exit());
process.send?.({ url: upstream.url });
