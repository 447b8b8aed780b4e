// The status page is complete without this script. With it, times move on, changes arrive by themselves, buttons answer in place, and the charts
// are drawn. Plain JavaScript as it is served; its types are checked (tsconfig.json beside it).

/** @typedef {{ at: string, rows: number, runs: number, failed: number, lag_seconds: number | null }} Hour */
/** @typedef {{ id: string, html: string }} Part */

/** @param {string} id @returns {HTMLElement | null} */
const byId = (id) => document.getElementById(id);

/** @template {Element} [T=HTMLElement] @param {string} selector @param {ParentNode} [root] @returns {T[]} */
const all = (selector, root = document) => /** @type {T[]} */ ([...root.querySelectorAll(selector)]);

// Times

/** As the server's words.ts. @param {number} seconds */
function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5_400) return `${Math.round(s / 60)} min`;
  if (s < 129_600) return `${Math.round(s / 3_600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

function moveTimes() {
  const now = Date.now();
  for (const time of all('time[data-ago], time[data-until]')) {
    const at = Date.parse(time.getAttribute('datetime') ?? '');
    const seconds = (now - at) / 1000;
    const text =
      time.dataset.until === undefined ? `${duration(seconds)} ago` : seconds > -1 ? 'now' : `in ${duration(-seconds)}`;
    if (time.textContent !== text) time.textContent = text;
    if (time.dataset.local === undefined) {
      time.dataset.local = '';
      time.title = `${new Date(at).toLocaleString()} (${time.title})`;
    }
  }
}

// What the script adds to the markup

/** @param {ParentNode} root */
function decorate(root) {
  if (navigator.clipboard === undefined) return;
  for (const code of all('.step code', root)) {
    if (code.nextElementSibling?.classList.contains('copy')) continue;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', `Copy ${code.textContent}`);
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(code.textContent ?? '');
      say('Copied.');
    });
    code.after(button);
  }
}

/** @type {number | undefined} */
let silence;
/** @param {string} text */
function say(text) {
  const toast = byId('toast');
  if (toast === null) return;
  toast.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => {
    toast.textContent = '';
  }, 6_000);
}

// What changes by itself

/** Parts that arrived while somebody was at work in them. @type {Map<string, string>} */
const held = new Map();

/** @param {Part} part */
function replacePart({ id, html }) {
  const old = byId(id);
  if (old === null) return;
  if (old.querySelector(':popover-open') !== null) {
    held.set(id, html);
    return;
  }
  held.delete(id);
  const template = document.createElement('template');
  template.innerHTML = html;
  const fresh = template.content.firstElementChild;
  if (fresh === null) return;
  const focused = old.contains(document.activeElement) ? document.activeElement?.id : undefined;
  // On a page of its own a stream has no link to itself.
  if (old.closest('.single') !== null) {
    const link = fresh.querySelector('.name a');
    link?.replaceWith(...link.childNodes);
  }
  if (old.hidden) /** @type {HTMLElement} */ (fresh).hidden = true;
  decorate(fresh);
  old.replaceWith(fresh);
  if (focused) byId(focused)?.focus();
}

document.addEventListener(
  'toggle',
  (event) => {
    const { target } = event;
    if (!(target instanceof HTMLElement) || !target.matches('[popover]') || target.matches(':popover-open')) return;
    for (const [id, html] of [...held]) replacePart({ id, html });
  },
  true,
);

let isReloading = false;
/** The page has other elements now: takes them over, and keeps what was open. */
async function reload() {
  if (isReloading) return;
  isReloading = true;
  try {
    const response = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (response.redirected && new URL(response.url).pathname === '/sign-in') location.assign('/sign-in');
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    const main = page.querySelector('main');
    if (main === null || document.querySelector(':popover-open') !== null) return;
    const open = new Set(all('details[open]').map(({ id }) => id));
    for (const details of all('details', main)) if (open.has(details.id)) details.setAttribute('open', '');
    const focused = document.activeElement?.id;
    byId('main')?.replaceWith(main);
    document.title = page.title;
    if (focused) byId(focused)?.focus();
    begin();
  } finally {
    isReloading = false;
  }
}

/** @type {number | undefined} */
let redrawing;
/** @param {Part[]} parts */
function takeParts(parts) {
  for (const part of parts) replacePart(part);
  const title = document.querySelector('#summary h1')?.textContent;
  if (title) document.title = `${title} · leadmirror`;
  filterStreams();
  moveTimes();
  clearTimeout(redrawing);
  redrawing = setTimeout(() => {
    // What one stream's own page shows besides its line.
    if (document.querySelector('.single') !== null && parts.some(({ id }) => byId(id)?.closest('.single')))
      void reload();
    else drawCharts();
  }, 1_500);
}

/** @param {string} since */
function listen(since) {
  const events = new EventSource(`/api/events?since=${encodeURIComponent(since)}`);
  /** @param {'live' | 'lost'} is @param {string} text */
  const show = (is, text) => {
    const live = byId('live');
    if (live === null || live.textContent === text) return;
    live.dataset.is = is;
    live.textContent = text;
  };
  events.addEventListener('open', () => show('live', 'Live'));
  events.addEventListener('parts', (event) => takeParts(JSON.parse(event.data).parts));
  events.addEventListener('reload', () => void reload());
  events.addEventListener('trouble', () => show('lost', 'The database does not answer'));
  events.addEventListener('steady', () => show('live', 'Live'));
  events.addEventListener('error', () => {
    const isOver = events.readyState === EventSource.CLOSED;
    show('lost', isOver ? 'Not live any more: reload the page' : 'Connecting again …');
  });
  addEventListener('pagehide', () => events.close());
}

// What a person does

document.addEventListener('submit', async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.action.includes('/api/streams/')) return;
  event.preventDefault();
  const { confirm: question } = form.dataset;
  if (question !== undefined && !confirm(question)) return;
  const button = form.querySelector('button');
  button?.setAttribute('aria-busy', 'true');
  try {
    const response = await fetch(form.action, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    const answer = await response.json().catch(() => ({}));
    say(answer.message ?? answer.error?.message ?? `That did not work (${response.status}).`);
    if (response.status === 401) location.assign('/sign-in');
  } catch {
    say('leadmirror does not answer. Is it still running?');
  } finally {
    button?.removeAttribute('aria-busy');
    const sheet = form.closest('[popover]');
    if (sheet instanceof HTMLElement && sheet.matches(':popover-open')) sheet.hidePopover();
  }
});

/** While one types, where everything is on this page; else the server looks. */
function filterStreams() {
  const form = document.querySelector('.filter');
  const input = /** @type {HTMLInputElement | null} */ (byId('q'));
  if (input === null || !(form instanceof HTMLElement) || form.dataset.whole !== 'yes') return;
  const word = input.value.trim().toLowerCase();
  for (const connection of all('.connection')) {
    let shown = 0;
    for (const stream of all('.stream', connection)) {
      stream.hidden = !(stream.dataset.name ?? '').includes(word);
      if (!stream.hidden) shown++;
    }
    connection.hidden = shown === 0;
    if (word !== '' && shown > 0) connection.setAttribute('open', '');
  }
}

document.addEventListener('input', (event) => {
  if (event.target instanceof HTMLInputElement && event.target.id === 'q') filterStreams();
});

// Charts

/** @type {Promise<any> | null} */
let library = null;
function loadLibrary() {
  library ??= new Promise((resolve, reject) => {
    const { chartScript = '', chartCss = '' } = document.body.dataset;
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: chartCss });
    const script = Object.assign(document.createElement('script'), { src: chartScript });
    script.addEventListener('load', () => resolve(/** @type {any} */ (globalThis).uPlot));
    script.addEventListener('error', reject);
    document.head.append(style, script);
  });
  return library;
}

/** @type {WeakMap<Element, { draw: () => void }>} */
const drawn = new WeakMap();
/** @type {Set<Element>} */
const visible = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) visible.delete(target);
    else {
      visible.add(target);
      if (!drawn.has(target)) void drawChartsIn(target);
    }
  }
});

function drawCharts() {
  for (const place of visible) if (place.isConnected) void drawChartsIn(place);
}

/** @param {Element} place */
async function drawChartsIn(place) {
  if (!(place instanceof HTMLElement)) return;
  drawn.set(place, { draw: () => {} });
  try {
    const [Plot, response] = await Promise.all([
      loadLibrary(),
      fetch(place.dataset.history ?? '', { headers: { accept: 'application/json' } }),
    ]);
    if (!response.ok) return;
    /** @type {{ hours: Hour[] }} */
    const { hours } = await response.json();
    const name = place.dataset.name ?? '';
    const draw = () => {
      const sum = hours.reduce((total, { rows }) => total + rows, 0);
      if (sum === 0 && hours.every((hour) => hour.lag_seconds === null)) {
        place.textContent = 'Nothing in the last 24 hours.';
        return;
      }
      const longest = hours.reduce((most, hour) => Math.max(most, hour.lag_seconds ?? 0), 0);
      const rows = figure(`Rows per hour: ${sum.toLocaleString('en-US')} in 24 hours`, 'Rows per hour', name);
      const lag = figure(`Longest lag per hour: up to ${duration(longest)}`, 'Longest lag per hour', name);
      place.replaceChildren(rows, lag);
      plot(Plot, rows, hours, { values: hours.map((hour) => hour.rows), isBars: true });
      plot(Plot, lag, hours, { values: hours.map((hour) => hour.lag_seconds), isBars: false });
    };
    drawn.set(place, { draw });
    draw();
  } catch {
    // The table and the strip say the same.
  }
}

/** @param {string} caption @param {string} title @param {string} name */
function figure(caption, title, name) {
  const element = document.createElement('figure');
  element.className = 'chart';
  element.setAttribute('role', 'img');
  element.setAttribute('aria-label', `${name}, last 24 hours. ${caption}`);
  const text = document.createElement('figcaption');
  const bold = document.createElement('b');
  bold.textContent = title;
  text.append(bold, ` · ${caption.split(': ')[1]}`);
  element.append(text);
  return element;
}

/**
 * @param {any} Plot
 * @param {HTMLElement} place
 * @param {Hour[]} hours
 * @param {{ values: (number | null)[], isBars: boolean }} series
 */
function plot(Plot, place, hours, { values, isBars }) {
  const style = getComputedStyle(document.documentElement);
  const times = hours.map(({ at }) => Date.parse(at) / 1000);
  /** @param {string} name */
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour('--soft'), font: '11px system-ui, sans-serif', ticks: { show: false } };
  const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
  /** @type {(value: number) => string} */
  const write = isBars ? (value) => short.format(value) : duration;
  new Plot(
    {
      width: Math.max(160, place.clientWidth),
      height: 84,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: true, range: () => [times[0] ?? 0, (times.at(-1) ?? 0) + 3_600] },
        y: {
          range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [
            0,
            Math.max(max || 0, 1) * 1.1,
          ],
        },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 22,
          space: 60,
          values: (/** @type {any} */ _u, /** @type {number[]} */ at) =>
            at.map((s) =>
              new Date(s * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
            ),
        },
        {
          ...axis,
          grid: { stroke: colour('--line'), width: 1 },
          size: 48,
          space: 26,
          values: (/** @type {any} */ _u, /** @type {number[]} */ at) => at.map(write),
        },
      ],
      series: [
        {},
        {
          stroke: colour(isBars ? '--accent' : '--rest'),
          fill: isBars ? colour('--accent') : colour('--rest-ground'),
          width: isBars ? 0 : 1.6,
          points: { show: false },
          spanGaps: false,
          ...(isBars
            ? { paths: Plot.paths.bars({ size: [0.7, 14], align: 1 }) }
            : { paths: Plot.paths.stepped({ align: 1 }) }),
        },
      ],
    },
    // A step needs an end: the last value lasts through its hour.
    isBars
      ? [times, values]
      : [
          [...times, (times.at(-1) ?? 0) + 3_600],
          [...values, values.at(-1) ?? null],
        ],
    place,
  );
}

/** @type {number | undefined} */
let resizing;
function redraw() {
  clearTimeout(resizing);
  resizing = setTimeout(() => {
    for (const place of visible) drawn.get(place)?.draw();
  }, 150);
}

// Beginning

function begin() {
  visible.clear();
  decorate(document);
  filterStreams();
  moveTimes();
  for (const place of all('.charts[data-history]')) watcher.observe(place);
}

begin();
setInterval(moveTimes, 1_000);
setInterval(drawCharts, 60_000);
addEventListener('resize', redraw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
const { live } = document.body.dataset;
if (live !== undefined) listen(live);
