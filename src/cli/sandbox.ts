import { once } from 'node:events';
import { createTiledeskSandbox } from '../sandbox/tiledesk.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print } from './format.ts';

export interface SandboxOptions {
  readonly port: number;
  readonly seed: number;
  readonly leads: number;
  readonly requests: number;
  readonly live?: boolean;
}

/** Only the simulated upstreams, with the variables that point leadmirror at them. */
export async function sandbox(options: SandboxOptions): Promise<void> {
  await runCommand({ requireConnections: false }, async ({ signal }) => {
    const { seed, leads, requests } = options;
    const tiledesk = createTiledeskSandbox({ seed, leads, requests });
    const { url } = await tiledesk.listen({ port: options.port }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
      throw new UsageError(
        `Port ${options.port} cannot be used (${error.code}); choose another one with --port, 0 for any`,
      );
    });
    if (options.live) tiledesk.startLive();
    print(`TILEDESK_BASE_URL=${url}`);
    print(`TILEDESK_PROJECT_ID=${tiledesk.projectId}`);
    print(`TILEDESK_EMAIL=${tiledesk.email}`);
    print(`TILEDESK_PASSWORD=${tiledesk.password}`);
    process.stderr.write('A simulated Tiledesk is running with invented data. Ctrl-C stops it.\n');
    if (!signal.aborted) await once(signal, 'abort');
    await tiledesk.close();
    return EXIT.done;
  });
}
