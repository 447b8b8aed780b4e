import type { App } from '../app.ts';
import type { RunCounts } from '../store/engine/runs.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import { isBackfillComplete } from '../store/engine/watermarks.ts';
import { readRunning } from '../store/reports/run-history.ts';
import { countRows } from '../store/reports/status.ts';
import type { Pass } from '../stream.ts';
import type { Progress, Walk } from './progress.ts';

export interface RunFollower {
  onProgress(counts: RunCounts): void;
  end(): void;
}

interface Followed {
  readonly pass: Pass;
  readonly label: string;
  readonly progress: Progress;
}

/** Shows one run while it lasts. What the mirror knows of the size of a walk is asked for only where somebody watches. */
export async function followRun(app: App, key: StreamKey, { pass, label, progress }: Followed): Promise<RunFollower> {
  const walk = progress.isLive && pass !== 'incremental' ? await sizeOf(app, key, pass) : undefined;
  const track = progress.track(label, walk);
  let isFirst = true;
  return {
    onProgress(counts) {
      track.show(counts);
      if (!isFirst || walk === undefined) return;
      isFirst = false;
      // Only a guess at the time left hangs on it.
      void readBefore(app, key, pass).then(track.readBefore, () => {});
    },
    end: () => track.end(),
  };
}

async function sizeOf({ database }: App, key: StreamKey, pass: Pass): Promise<Walk> {
  const isFirstRead = !(await isBackfillComplete(database.prisma, key));
  const counts = isFirstRead ? null : await countRows(database.prisma, key.stream);
  return { pass, isFirstRead, aliveRows: counts?.get(key.connectionId)?.alive ?? 0 };
}

async function readBefore({ database }: App, { connectionId, stream }: StreamKey, pass: Pass): Promise<number> {
  const running = await readRunning(database.prisma);
  const own = running.find((one) => one.connection_id === connectionId && one.stream === stream && one.pass === pass);
  return own?.read_before ?? 0;
}
