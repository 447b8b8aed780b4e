import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { loadConfig } from '../src/config.ts';

test('a pipe without a writer is named', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'leadmirror-pipe-'));
  execFileSync('mkfifo', [join(cwd, 'pipe')]);
  try {
    expect(() => loadConfig({ env: { TILEDESK_PASSWORD_FILE: 'pipe' }, cwd, isTerminal: false })).toThrow(
      'TILEDESK_PASSWORD_FILE: names a file that cannot be read: it is a pipe, and nothing came through it within 15 s',
    );
  } finally {
    rmSync(cwd, { recursive: true });
  }
});
