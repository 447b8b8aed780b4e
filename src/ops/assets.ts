import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, extname } from 'node:path';
import type { FastifyInstance } from 'fastify';

const { resolve } = createRequire(import.meta.url);

/** In the order in which a page needs them. */
const FILES = {
  // One file: each holds up the first paint.
  css: ['uplot/dist/uPlot.min.css', './assets/page.css'],
  icon: './assets/icon.svg',
  iconBad: './assets/icon-bad.svg',
  plotScript: 'uplot/dist/uPlot.iife.min.js',
  morphScript: 'idiomorph/dist/idiomorph.min.js',
  chartScript: './assets/chart.js',
  script: './assets/page.js',
};

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Where the assets are, by name: addresses with a digest of their content. */
export type AssetUrls = Readonly<Record<keyof typeof FILES, string>>;

/** Serves the page's files, each under an address that changes with its content: browsers may keep it. */
export function serveAssets(server: FastifyInstance): AssetUrls {
  const urls = Object.entries(FILES).map(([key, files]) => {
    const file = [files].flat().at(-1) ?? '';
    const content = assetText(key as keyof AssetUrls);
    const digest = createHash('sha256').update(content).digest('hex').slice(0, 12);
    const url = `/assets/${digest}.${basename(file)}`;
    server.get(url, async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=31536000, immutable');
      return reply.type(TYPES[extname(file)] ?? '').send(content);
    });
    return [key, url];
  });
  const assets: AssetUrls = Object.fromEntries(urls);
  server.get('/favicon.ico', async (_request, reply) => reply.redirect(assets.icon, 302));
  return assets;
}

export const assetText = (key: keyof AssetUrls): string =>
  [FILES[key]]
    .flat()
    .map((file) => readFileSync(resolve(file), 'utf8'))
    .join('\n');
