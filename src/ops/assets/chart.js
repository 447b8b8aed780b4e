// Draws the chart of each `data-plot`, on the pages and in the report's file. Without it the tables show the same.

/** @typedef {{ label?: string, kind: 'bars' | 'line' | 'area', color: string, values: (number | null)[] }} Series */
/** @typedef {{ write: 'count' | 'duration' | 'rating', at: string[], series: Series[], height?: number }} Chart */

(() => {
  const HOUR = 3_600;
  const DAY = 86_400;
  const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

  /** Formats as the server's format.ts. @param {number} seconds @param {number} [digits] */
  function duration(seconds, digits = 0) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 120) return `${s} s`;
    if (s < 7_200) return `${Math.round(s / 60)} min`;
    return s < 172_800 ? `${(s / HOUR).toFixed(digits)} h` : `${(s / DAY).toFixed(digits)} d`;
  }

  const WRITE = {
    count: (/** @type {number} */ value) => short.format(value),
    duration: (/** @type {number} */ value) => duration(value, 1).replace('.0', ''),
    rating: (/** @type {number} */ value) => value.toFixed(1),
  };

  /** Round numbers, and round spans of time. */
  const STEPS = {
    count: [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((ten) => [ten, 2 * ten, 5 * ten]),
    duration: [
      ...[1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800],
      ...[1, 2, 3, 6, 12, 24, 48, 120, 240, 480, 1_200, 2_400, 4_800, 12_000].map((hours) => hours * HOUR),
    ],
    rating: undefined,
  };
  const TIME_STEPS = [
    ...[1, 2, 3, 4, 6, 12].map((hours) => hours * HOUR),
    ...[1, 2, 5, 7, 14, 28, 91, 182, 365].map((days) => days * DAY),
  ];

  /** Hours are the reader's; days are days, wherever the reader is. @param {number} step */
  function dateWriter(step) {
    if (step < DAY) {
      const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
      return (/** @type {number} */ at) => clock.format(at * 1000);
    }
    /** @type {Intl.DateTimeFormatOptions} */
    const parts = step > 20 * DAY ? { year: '2-digit' } : { day: 'numeric' };
    const date = new Intl.DateTimeFormat('en-GB', { month: 'short', timeZone: 'UTC', ...parts });
    return (/** @type {number} */ at) => date.format(at * 1000);
  }

  /** @param {HTMLElement} element */
  function draw(element) {
    /** @type {any} */
    const Plot = /** @type {any} */ (globalThis).uPlot;
    /** @type {Chart} */
    const { at, series, write, height = 180 } = JSON.parse(element.dataset.plot ?? '{}');
    const times = at.map((time) => Date.parse(time) / 1000);
    const step = times.length > 1 ? (times[1] ?? 0) - (times[0] ?? 0) : DAY;
    const least = write === 'rating' ? 5 : 1;
    /** @param {string} name @param {number} [percent] */
    const colour = (name, percent = 100) => {
      element.style.color = `color-mix(in srgb, var(--${name}) ${percent}%, transparent)`;
      return getComputedStyle(element).color;
    };
    const axis = { stroke: colour('soft'), font: '11px system-ui, sans-serif', ticks: { show: false } };
    element.replaceChildren();
    new Plot(
      {
        width: Math.max(160, element.clientWidth),
        height,
        padding: [10, 18, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        ...(step >= DAY && { tzDate: (/** @type {number} */ s) => Plot.tzDate(new Date(s * 1000), 'Etc/UTC') }),
        scales: {
          x: { range: () => [(times[0] ?? 0) - step / 2, (times.at(-1) ?? 0) + step / 2] },
          y: {
            range: (/** @type {any} */ _u, /** @type {any} */ _min, /** @type {number} */ max) => [
              0,
              Math.max(max || 0, least) * 1.08,
            ],
          },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 24,
            space: 64,
            incrs: TIME_STEPS.filter((seconds) => seconds >= step),
            // Weeks begin on Mondays, and months on their first day: a tick of days stands at a value.
            ...(step >= DAY && {
              splits: (/** @type {any[]} */ ...[, , , , every]) =>
                times.filter((_, index) => index % Math.max(1, Math.round(every / step)) === 0),
            }),
            values: (/** @type {any} */ _u, /** @type {number[]} */ split) => split.map(dateWriter(step)),
          },
          {
            ...axis,
            grid: { stroke: colour('line'), width: 1 },
            size: 56,
            space: 28,
            incrs: STEPS[write],
            values: (/** @type {any} */ _u, /** @type {number[]} */ split) => split.map(WRITE[write]),
          },
        ],
        series: [
          {},
          ...series.map(({ kind, color, values }) => ({
            stroke: colour(color),
            // A value between two gaps is a point, or nothing.
            points: {
              show: kind === 'line' && (times.length < 40 || values.includes(null)),
              size: 5,
              fill: colour(color),
            },
            ...(kind === 'area' && { width: 1.6, fill: colour(color, 15) }),
            ...(kind === 'line' && { width: 2 }),
            ...(kind === 'bars' && { width: 0, fill: colour(color), paths: Plot.paths.bars({ size: [0.7, 40] }) }),
          })),
        ],
      },
      [times, ...series.map(({ values }) => values)],
      element,
    );
  }

  const drawAll = () => {
    for (const element of document.querySelectorAll('[data-plot]')) draw(/** @type {HTMLElement} */ (element));
  };

  /** @type {number | undefined} */
  let resizing;
  const redraw = () => {
    clearTimeout(resizing);
    resizing = setTimeout(drawAll, 150);
  };

  Object.assign(globalThis, { leadmirror: { draw, duration } });
  drawAll();
  addEventListener('resize', redraw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
})();
