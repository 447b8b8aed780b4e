import { randomUUID } from 'node:crypto';
import { createChannels } from '../alerts/alerts.ts';
import { createTestDigest } from '../alerts/digest.ts';
import { ConfigError, LeadmirrorError } from '../errors.ts';
import { type CommandProcess, runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';

export async function alertsTest(options: { readonly json?: boolean }, proc: CommandProcess): Promise<void> {
  await runCommand({ json: options.json, proc, requireConnections: false }, async ({ config, printResult }) => {
    const { allowInsecureHttp, proxy } = config.http;
    const channels = createChannels(config.alerts, { allowInsecureHttp, proxy });
    if (channels.length === 0) {
      const message = 'is not set, and ALERT_EMAIL_TO neither; set one of them to get alerts';
      throw new ConfigError([{ variable: 'ALERT_WEBHOOK_URL', message }]);
    }
    const results = await Promise.all(
      channels.map(async (channel) => {
        const error = await channel.send(randomUUID(), createTestDigest(new Date())).then(
          () => null,
          (cause: unknown) => {
            if (cause instanceof LeadmirrorError) return cause.message;
            throw cause;
          },
        );
        await channel.close();
        return { channel: channel.name, address: channel.address, delivered: error === null, error };
      }),
    );
    printResult({ channels: results }, () =>
      results.map(
        ({ channel, address, error }) =>
          `${channel} (${address}): ${error === null ? 'accepted; look whether it arrived' : `failed: ${error}`}`,
      ),
    );
    return results.every(({ delivered }) => delivered) ? EXIT.done : EXIT.failed;
  });
}
