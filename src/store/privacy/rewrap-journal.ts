import { ConfigError } from '../../errors.ts';
import { replaceFile } from '../../replace-file.ts';
import { readJournal } from './journal.ts';
import { seal, unseal } from './key.ts';

/** Encrypts the key in the journal's first line with the new key, unless it is so already or no journal is there. */
export async function rewrapJournal(
  path: string,
  { oldKey, newKey }: { readonly oldKey: string | null; readonly newKey: string },
): Promise<void> {
  const journal = await readJournal(path);
  if (journal === null) return;
  const sealed = Buffer.from(journal.head.key, 'base64');
  const open = (secretKey: string) =>
    unseal<string>(secretKey, sealed).catch((error: unknown) => {
      if (error instanceof ConfigError) return null;
      throw error;
    });
  if (oldKey === null || (await open(newKey)) !== null) return;
  const key = await open(oldKey);
  if (key === null) return;
  const head = { ...journal.head, key: (await seal(newKey, key)).toString('base64') };
  const lines = [head, ...journal.entries].map((line) => `${JSON.stringify(line)}\n`);
  await replaceFile(path, lines.join(''), { isPrivate: true });
}
