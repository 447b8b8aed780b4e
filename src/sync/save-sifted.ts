import { isRefusedContent } from '../store/faults.ts';
import type { PageWrite } from '../store/pages.ts';
import { siftPage } from '../store/sift-page.ts';
import type { Run } from './run.ts';

/**
 * Saves a page; when the database refuses it because of what is in it, the guilty records are set aside and the rest is saved. `save` writes the page
 * it is given, with its checkpoint: it is called once more then, with what is left.
 */
export async function saveSifted(run: Run, page: PageWrite, save: (page: PageWrite) => Promise<void>): Promise<void> {
  try {
    await save(page);
  } catch (error) {
    if (page.json === null || !isRefusedContent(error)) throw error;
    const { prisma, logger } = run.parts;
    const sifted = await run.patiently(() => siftPage(prisma, run.lease, page));
    const records = sifted.bad.length - page.bad.length;
    logger.warn({ stream: run.job.stream.name, records }, 'records that the database refuses are set aside');
    await save(sifted);
  }
}
