import Sequencer from '@jest/test-sequencer';

/** Files that take longest, in this order. Without times of an earlier run, as in a clean checkout, jest goes by their size, and ends with one that others wait for. */
const SLOWEST = [
  'bench-short/benches.long',
  'cli/outages.long',
  'workers/outage.long',
  'browser/status-page',
  'privacy/restore.long',
  'privacy/retention-rules.long',
  'sync/lies.long',
  'reporting/report.long',
  'fuzz/config.long',
  'new-source.long',
  'examples.long',
  'sync/engine-properties.long',
  'cli/sync',
  'workers/reload.long',
  'cli/fencing.long',
  'sync/mirror',
  'workers/disagreement.long',
  'workers/stuck-worker.long',
  'workers/daemon',
  'sync/verify',
  'cli/failures',
  'store/borders',
  'cli/demo.long',
].map((name) => `/test/${name}.test.ts`);

const rankOf = ({ path }) => {
  const at = SLOWEST.findIndex((name) => path.endsWith(name));
  return at === -1 ? SLOWEST.length : at;
};

export default class SlowestFirst extends Sequencer {
  sort(tests) {
    return super.sort(tests).toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}
