// The pages are complete without this script. With it, times move on, changes arrive by themselves, buttons work without
// a reload, and the charts are drawn. Plain JavaScript as it is served; its types are checked (tsconfig.json beside it).

/** @typedef {{ at: string, rows: number, lag_seconds: number | null }} Hour */

const { Idiomorph, leadmirror } = /** @type {any} */ (globalThis);
/** @type {(seconds: number) => string} */
const duration = leadmirror.duration;

/** @param {string} id @returns {HTMLElement | null} */
const byId = (id) => document.getElementById(id);

/** @template {Element} [T=HTMLElement] @param {string} selector @param {ParentNode} [root] @returns {T[]} */
const all = (selector, root = document) => /** @type {T[]} */ ([...root.querySelectorAll(selector)]);

// Times

function moveTimes() {
  for (const time of all('time[data-ago], time[data-until]')) {
    const at = Date.parse(time.getAttribute('datetime') ?? '');
    const seconds = (Date.now() - at) / 1000;
    const text =
      time.dataset.until === undefined ? `${duration(seconds)} ago` : seconds > -1 ? 'now' : `in ${duration(-seconds)}`;
    if (time.textContent !== text) time.textContent = text;
    if (time.dataset.local === undefined) {
      time.dataset.local = '';
      time.title = `${new Date(at).toLocaleString()} (${time.title})`;
    }
  }
}

/** @type {number | undefined} */
let toastTimer;
/** @param {string} text */
function showToast(text) {
  const toast = byId('toast');
  if (toast === null) return;
  toast.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.textContent = '';
  }, 6_000);
}

// What changes by itself

let isBehind = false;
let isRefreshing = false;
/** Takes over the page as the server shows it now, once it is visible. */
async function refresh() {
  isBehind = true;
  if (isRefreshing || document.hidden) return;
  isRefreshing = true;
  try {
    while (isBehind) {
      const response = await fetch(location.href, { headers: { accept: 'text/html' } });
      if (response.redirected && new URL(response.url).pathname === '/sign-in') return location.assign('/sign-in');
      // With 503 the page shows what was known last.
      if (!response.ok && response.status !== 503) return;
      isBehind = false;
      takePage(new DOMParser().parseFromString(await response.text(), 'text/html'));
    }
  } catch {
    // Behind until the server answers again.
  } finally {
    isRefreshing = false;
  }
}

/** @param {Document} page */
function takePage(page) {
  document.title = page.title;
  const icon = '[rel=icon]';
  document.querySelector(icon)?.replaceWith(page.querySelector(icon) ?? '');
  Idiomorph.morph(byId('main'), page.getElementById('main'), {
    callbacks: {
      // Keeps charts, messages and the focused field.
      beforeNodeMorphed: (/** @type {Node} */ old) =>
        !(old instanceof Element && old.matches('.charts, .filter, :popover-open')),
      // What a person opened or closed stays so.
      beforeAttributeUpdated: (/** @type {string} */ name, /** @type {Element} */ element) =>
        !(name === 'open' && element instanceof HTMLDetailsElement),
    },
  });
  begin();
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
  const catchUp = () => {
    show('live', 'Live');
    if (isBehind) void refresh();
  };
  events.addEventListener('open', catchUp);
  events.addEventListener('steady', () => {
    isBehind = true;
    catchUp();
  });
  events.addEventListener('changed', () => void refresh());
  events.addEventListener('trouble', () => {
    show('lost', 'The database does not answer');
    void refresh();
  });
  events.addEventListener('error', () => {
    const isOver = events.readyState === EventSource.CLOSED;
    show('lost', isOver ? 'Not live any more: reload the page' : 'Connecting again …');
    document.title = 'No answer · leadmirror';
    isBehind = true;
  });
  document.addEventListener('visibilitychange', () => isBehind && void refresh());
  addEventListener('pagehide', () => events.close());
}

// What a person does

document.addEventListener('submit', async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement)) return;
  const { confirm: question } = form.dataset;
  if (question !== undefined && !confirm(question)) return event.preventDefault();
  if (!form.action.includes('/api/streams/')) return;
  event.preventDefault();
  const button = form.querySelector('button');
  button?.setAttribute('aria-busy', 'true');
  try {
    const response = await fetch(form.action, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    const answer = await response.json().catch(() => ({}));
    showToast(answer.message ?? answer.error?.message ?? `That did not work (${response.status}).`);
    if (response.status === 401) location.assign('/sign-in');
  } catch {
    showToast('leadmirror does not answer. Is it still running?');
  } finally {
    button?.removeAttribute('aria-busy');
    const sheet = form.closest('[popover]');
    if (sheet instanceof HTMLElement && sheet.matches(':popover-open')) sheet.hidePopover();
  }
});

document.addEventListener('click', async ({ target }) => {
  if (!(target instanceof Element) || !target.matches('.copy')) return;
  await navigator.clipboard.writeText(target.previousElementSibling?.textContent ?? '');
  showToast('Copied.');
});

/** While one types, where everything is on this page; else the server looks. */
function filterStreams() {
  const input = /** @type {HTMLInputElement | null} */ (document.querySelector('.filter[data-whole=yes] #q'));
  if (input === null) return;
  const term = input.value.trim().toLowerCase();
  for (const connection of all('.connection')) {
    const streams = all('.stream', connection);
    for (const stream of streams) stream.hidden = !(stream.dataset.name ?? '').includes(term);
    connection.hidden = streams.every(({ hidden }) => hidden);
  }
}

document.addEventListener('input', ({ target }) => {
  if (!(target instanceof HTMLInputElement && target.id === 'q')) return;
  filterStreams();
  if (target.value !== '') for (const found of all('.connection:not([hidden])')) found.setAttribute('open', '');
});

// Charts

/** Those that can be seen. @type {Set<Element>} */
const visible = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) visible.delete(target);
    else {
      visible.add(target);
      if (target.childElementCount === 0) void drawCharts(target);
    }
  }
});

/** The last 24 hours of an account or a stream. @param {Element} element */
async function drawCharts(element) {
  if (!(element instanceof HTMLElement)) return;
  const response = await fetch(element.dataset.history ?? '', { headers: { accept: 'application/json' } }).catch(
    () => null,
  );
  // The table and the strip show the same.
  if (!response?.ok) return;
  /** @type {{ hours: Hour[] }} */
  const { hours } = await response.json();
  const at = hours.map((hour) => hour.at);
  const sum = hours.reduce((total, { rows }) => total + rows, 0);
  const longest = Math.max(...hours.map(({ lag_seconds }) => lag_seconds ?? -1));
  if (sum === 0 && longest < 0) {
    element.textContent = 'Nothing in the last 24 hours.';
    return;
  }
  const rows = { kind: 'bars', color: 'accent', values: hours.map((hour) => hour.rows) };
  const lag = { kind: 'area', color: 'rest', values: hours.map(({ lag_seconds }) => lag_seconds) };
  const total = `${sum.toLocaleString('en-US')} in 24 hours`;
  element.replaceChildren(
    createFigure(element, 'Rows per hour', total, { write: 'count', at, series: [rows] }),
    createFigure(element, 'Longest lag per hour', `up to ${duration(longest)}`, {
      write: 'duration',
      at,
      series: [lag],
    }),
  );
  for (const plot of all('[data-plot]', element)) leadmirror.draw(plot);
}

/** @param {HTMLElement} element @param {string} title @param {string} summary @param {object} chart */
function createFigure(element, title, summary, chart) {
  const create = (/** @type {string} */ tag, text = '') =>
    Object.assign(document.createElement(tag), { textContent: text });
  const figure = Object.assign(create('figure'), { className: 'chart', role: 'img' });
  figure.ariaLabel = `${element.dataset.name}, last 24 hours. ${title}: ${summary}`;
  const caption = create('figcaption');
  caption.append(create('b', title), ` · ${summary}`);
  const plot = create('div');
  plot.dataset.plot = JSON.stringify({ ...chart, height: 84 });
  figure.append(caption, plot);
  return figure;
}

// Beginning

function begin() {
  filterStreams();
  moveTimes();
  for (const element of all('.charts')) watcher.observe(element);
}

if (navigator.clipboard !== undefined) document.body.classList.add('can-copy');
begin();
setInterval(moveTimes, 1_000);
setInterval(() => {
  if (!document.hidden) for (const element of visible) if (element.isConnected) void drawCharts(element);
}, 30_000);
const { live } = document.body.dataset;
if (live !== undefined) listen(live);
