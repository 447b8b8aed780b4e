import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const MISSING = `No Chromium: CHROMIUM_PATH is not set, and none of ${NAMES.join(', ')} is on PATH`;

/** CHROMIUM_PATH, else the system's; null where there is none. */
async function findChromium(): Promise<string | null> {
  const { CHROMIUM_PATH, PATH = '' } = process.env;
  if (CHROMIUM_PATH) return CHROMIUM_PATH;
  for (const directory of PATH.split(delimiter).filter(Boolean)) {
    for (const name of NAMES) {
      const file = join(directory, name);
      if (await isThere(file)) return file;
    }
  }
  return null;
}

const isThere = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** Once before all tests: one line where some of them cannot run. */
export async function announceMissingChromium(): Promise<void> {
  if ((await findChromium()) === null) process.stderr.write(`${MISSING}. The tests in a browser do not run.\n`);
}

/**
 * A browser of one's own; null where there is none.
 * @throws where there is none and `CI=true`
 */
export async function startChromium(): Promise<Browser | null> {
  const executablePath = await findChromium();
  if (executablePath === null && process.env.CI === 'true') throw new Error(MISSING);
  if (executablePath === null) return null;
  // No sandbox of its own: as root, and in most containers, it has none. It only sees pages of these tests.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}
