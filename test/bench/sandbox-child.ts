/** The simulated upstream of a benchmark, in a process of its own. Tells its address, then serves until killed. */
import { createTiledeskSandbox } from '../../src/sandbox/tiledesk.ts';

const rows = Number(process.env.BENCH_ROWS);
const sandbox = createTiledeskSandbox({ leads: 2000, requests: rows, now: Date.now() - 3_600_000 });
sandbox.data.warm();
const { url } = await sandbox.listen();
const { projectId, email, password } = sandbox;
process.send?.({ url, projectId, email, password });
