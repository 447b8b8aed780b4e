export interface LiveChanges {
  start(options?: { changesPerSecond?: number }): void;
  stop(): void;
}

/** Things that change by themselves while somebody watches. `apply` makes so many changes at once. */
export function createLiveChanges(apply: (count: number) => void): LiveChanges {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  return {
    stop,
    start({ changesPerSecond = 5 } = {}) {
      stop();
      // Timers fire at most every 20 ms, so a high rate makes several changes at once.
      const everyMs = Math.max(20, 1000 / changesPerSecond);
      let owed = 0;
      timer = setInterval(() => {
        owed += (everyMs / 1000) * changesPerSecond;
        const count = Math.floor(owed);
        owed -= count;
        apply(count);
      }, everyMs).unref();
    },
  };
}
