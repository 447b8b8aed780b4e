import { statfs } from 'node:fs/promises';

/** Less than this and Postgres can neither create a database nor write the next segment of its log. */
const NEEDED_BYTES = 48 * 1024 * 1024;

/** Whether a failure of Postgres in this directory is most likely for want of space. Asked after the fact. */
export async function isDiskFull(directory: string): Promise<boolean> {
  const room = await statfs(directory).catch(() => null);
  return room !== null && room.bavail * room.bsize < NEEDED_BYTES;
}
