import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { networkInterfaces } from 'node:os';
import { afterAll, afterEach, beforeEach, describe, expect } from '@jest/globals';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { startChromium } from '../helpers/chromium.ts';
import { TOKEN } from '../ops/support.ts';

export const browser: Browser | null = await startChromium();
export const inBrowser = browser === null ? describe.skip : describe;
afterAll(() => browser?.close());

/** What other machines reach this one under; null where it has nothing but loopback. */
export const LAN =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? null;
const OURS = ['127.0.0.1', ...(LAN === null ? [] : [LAN])];

export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true } satisfies BrowserContextOptions;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let contexts: BrowserContext[] = [];
/** What no page may do: ask another host, or complain. */
let faults: string[] = [];
/** Of those, what a test expects. */
export const forgive = (isMeant: (fault: string) => boolean): void => {
  faults = faults.filter((fault) => !isMeant(fault));
};
afterEach(async () => {
  for (const context of contexts) await context.close();
  contexts = [];
  expect(faults).toEqual([]);
});
beforeEach(() => {
  faults = [];
});

export async function newPage(options: BrowserContextOptions = {}): Promise<Page> {
  if (browser === null) throw new Error('no browser');
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('request', (request) => {
    if (!OURS.includes(new URL(request.url()).hostname)) faults.push(`asked ${request.url()}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`script: ${error.message}`));
  return page;
}

/** As the form does, without its page. */
export async function signIn(page: Page, url: string): Promise<void> {
  const answer = await page.context().request.post(`${url}/sign-in`, { form: { token: TOKEN }, maxRedirects: 0 });
  expect(answer.status()).toBe(303);
  await page.goto(`${url}/`);
}

/** What people who do not see or point would stumble over. */
export async function faultsOf(page: Page): Promise<string[]> {
  // As a page of ours could not: the policy allows no script but its own.
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<AxeResult> } };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
  });
}

interface AxeResult {
  violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
}
