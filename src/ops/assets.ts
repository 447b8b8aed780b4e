import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { AssetUrls } from './view/layout.ts';

const own = (name: string): string => fileURLToPath(new URL(`./assets/${name}`, import.meta.url));
const { resolve } = createRequire(import.meta.url);

const FILES: Readonly<
  Record<keyof AssetUrls, { readonly name: string; readonly type: string; readonly path: () => string }>
> = {
  css: { name: 'page.css', type: 'text/css; charset=utf-8', path: () => own('page.css') },
  script: { name: 'page.js', type: 'text/javascript; charset=utf-8', path: () => own('page.js') },
  icon: { name: 'icon.svg', type: 'image/svg+xml', path: () => own('icon.svg') },
  chartScript: {
    name: 'uplot.js',
    type: 'text/javascript; charset=utf-8',
    path: () => resolve('uplot/dist/uPlot.iife.min.js'),
  },
  reportScript: { name: 'report.js', type: 'text/javascript; charset=utf-8', path: () => own('report.js') },
  chartCss: { name: 'uplot.css', type: 'text/css; charset=utf-8', path: () => resolve('uplot/dist/uPlot.min.css') },
};

/** Serves the page's files from this installation, each under an address that changes with its content, so that browsers may keep it. */
export function serveAssets(server: FastifyInstance): AssetUrls {
  const urls: Partial<Record<keyof AssetUrls, string>> = {};
  for (const [key, { name, type, path }] of Object.entries(FILES)) {
    const content = readFileSync(path());
    const digest = createHash('sha256').update(content).digest('hex').slice(0, 12);
    const url = `/assets/${digest}.${name}`;
    urls[key as keyof AssetUrls] = url;
    server.get(url, async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=31536000, immutable');
      return reply.type(type).send(content);
    });
  }
  return urls as AssetUrls;
}

/** For a file that carries its assets within. */
export const assetText = (key: keyof AssetUrls): string => readFileSync(FILES[key].path(), 'utf8');
