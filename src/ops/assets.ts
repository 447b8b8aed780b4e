import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';

const own = (name: string): string => fileURLToPath(new URL(`./assets/${name}`, import.meta.url));
const { resolve } = createRequire(import.meta.url);

const SCRIPT = 'text/javascript; charset=utf-8';
const CSS = 'text/css; charset=utf-8';

/** In the order in which a page needs them. */
const FILES = {
  css: { name: 'page.css', type: CSS, path: () => own('page.css') },
  icon: { name: 'icon.svg', type: 'image/svg+xml', path: () => own('icon.svg') },
  plotCss: { name: 'uplot.css', type: CSS, path: () => resolve('uplot/dist/uPlot.min.css') },
  plotScript: { name: 'uplot.js', type: SCRIPT, path: () => resolve('uplot/dist/uPlot.iife.min.js') },
  morphScript: { name: 'idiomorph.js', type: SCRIPT, path: () => resolve('idiomorph/dist/idiomorph.min.js') },
  chartScript: { name: 'chart.js', type: SCRIPT, path: () => own('chart.js') },
  script: { name: 'page.js', type: SCRIPT, path: () => own('page.js') },
};

/** Where the assets are, by name: addresses with a digest of their content. */
export type AssetUrls = Readonly<Record<keyof typeof FILES, string>>;

/** Serves the page's files from this installation, each under an address that changes with its content, so that browsers may keep it. */
export function serveAssets(server: FastifyInstance): AssetUrls {
  const urls = Object.entries(FILES).map(([key, { name, type, path }]) => {
    const content = readFileSync(path());
    const digest = createHash('sha256').update(content).digest('hex').slice(0, 12);
    const url = `/assets/${digest}.${name}`;
    server.get(url, async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=31536000, immutable');
      return reply.type(type).send(content);
    });
    return [key, url];
  });
  const assets: AssetUrls = Object.fromEntries(urls);
  server.get('/favicon.ico', async (_request, reply) => reply.redirect(assets.icon, 302));
  return assets;
}

/** For a file that carries its assets within. */
export const assetText = (key: keyof AssetUrls): string => readFileSync(FILES[key].path(), 'utf8');
