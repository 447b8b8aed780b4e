// Draws the charts of a report, on the report tab and in the file alike. Without it the tables say the same.

/** @typedef {{ label: string, kind: 'bars' | 'line', color: string, values: (number | null)[] }} Series */
/** @typedef {{ write: 'count' | 'duration' | 'rating', at: string[], series: Series[] }} Chart */

(() => {
  const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

  /** @param {number} value */
  const round = (value) => String(Math.round(value * 10) / 10);

  /** As the server's words.ts. @param {number} seconds */
  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
    return seconds < 129_600 ? `${round(seconds / 3_600)} h` : `${round(seconds / 86_400)} d`;
  }

  const WRITE = {
    count: (/** @type {number} */ value) => short.format(value),
    duration,
    rating: (/** @type {number} */ value) => value.toFixed(1),
  };

  /** Round numbers, and round spans of time. */
  const STEPS = {
    count: [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((ten) => [ten, 2 * ten, 5 * ten]),
    duration: [
      ...[1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800],
      ...[1, 2, 3, 6, 12, 24, 48, 120, 240, 480, 1_200, 2_400, 4_800, 12_000].map((hours) => hours * 3_600),
    ],
  };

  /** @param {string} name */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** @param {HTMLElement} place */
  function draw(place) {
    /** @type {any} */
    const Plot = /** @type {any} */ (globalThis).uPlot;
    /** @type {Chart} */
    const { at, series, write } = JSON.parse(place.dataset.plot ?? '{}');
    const times = at.map((day) => Date.parse(`${day}T00:00:00Z`) / 1000);
    const step = times.length > 1 ? (times[1] ?? 0) - (times[0] ?? 0) : 86_400;
    const axis = { stroke: colour('--soft'), font: '11px system-ui, sans-serif', ticks: { show: false } };
    place.replaceChildren();
    new Plot(
      {
        width: Math.max(200, place.clientWidth),
        height: 180,
        padding: [10, 12, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        // Days are days, wherever the reader is.
        tzDate: (/** @type {number} */ s) => Plot.tzDate(new Date(s * 1000), 'Etc/UTC'),
        scales: {
          x: { time: true, range: () => [(times[0] ?? 0) - step / 2, (times.at(-1) ?? 0) + step / 2] },
          y: {
            range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [
              0,
              Math.max(max || 0, write === 'rating' ? 5 : 1) * 1.08,
            ],
          },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 24,
            space: 64,
            incrs: [1, 2, 5, 7, 14, 28, 91, 182, 365].map((days) => days * 86_400),
            values: (/** @type {any} */ _u, /** @type {number[]} */ split) =>
              split.map((s) =>
                new Date(s * 1000).toLocaleDateString('en-GB', {
                  day: 'numeric',
                  month: 'short',
                  ...(step > 86_400 * 20 ? { day: undefined, year: '2-digit' } : {}),
                  timeZone: 'UTC',
                }),
              ),
          },
          {
            ...axis,
            grid: { stroke: colour('--line'), width: 1 },
            size: 56,
            space: 30,
            ...(write === 'rating' ? {} : { incrs: STEPS[write] }),
            values: (/** @type {any} */ _u, /** @type {number[]} */ split) => split.map(WRITE[write]),
          },
        ],
        series: [
          {},
          ...series.map(({ kind, color, values }) => ({
            stroke: colour(`--${color}`),
            // A value between two gaps is a point, or nothing.
            points: {
              show: kind === 'line' && (times.length < 40 || values.includes(null)),
              size: 5,
              fill: colour(`--${color}`),
            },
            spanGaps: false,
            ...(kind === 'bars'
              ? { width: 0, fill: colour(`--${color}`), paths: Plot.paths.bars({ size: [0.7, 40] }) }
              : { width: 2 }),
          })),
        ],
      },
      [times, ...series.map(({ values }) => values)],
      place,
    );
  }

  const drawAll = () => {
    for (const place of document.querySelectorAll('[data-plot]')) draw(/** @type {HTMLElement} */ (place));
  };

  /** @type {number | undefined} */
  let resizing;
  const redraw = () => {
    clearTimeout(resizing);
    resizing = setTimeout(drawAll, 150);
  };

  drawAll();
  addEventListener('resize', redraw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
})();
