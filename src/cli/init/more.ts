import { randomBytes } from 'node:crypto';
import type { Answers } from '../../config/answers.ts';
import { VARIABLES } from '../../config.ts';
import type { Asker } from './ask.ts';
import { checkFor, type TrialParts } from './trial.ts';

interface More {
  readonly hasTiledesk: boolean;
  /** Whether a secret key is set already: a new one could not read what the old one encrypted. */
  readonly hasSecretKey: boolean;
}

export async function askMore(ask: Asker, parts: TrialParts, { hasTiledesk, hasSecretKey }: More): Promise<Answers> {
  const key = { value: 'key', label: 'Keep sign-ins for the next start', hint: 'encrypted with a new secret key' };
  const messages = { value: 'messages', label: 'Mirror messages, too', hint: 'one request for each conversation' };
  const choices = [
    ...(hasSecretKey ? [] : [key]),
    ...(hasTiledesk ? [messages] : []),
    { value: 'zone', label: 'Schedule in a time zone of your own', hint: 'UTC otherwise' },
    { value: 'alerts', label: 'Send alerts to a webhook', hint: 'Slack, or any address' },
  ];
  const chosen = await ask.chooseSome('What else? (space selects, enter continues)', choices, { required: false });
  return {
    ...(chosen.includes('key') && { LEADMIRROR_SECRET_KEY: randomBytes(32).toString('hex') }),
    ...(chosen.includes('messages') && { TILEDESK_STREAMS: `${presetOf('TILEDESK_STREAMS')},messages` }),
    ...(chosen.includes('zone') && { SYNC_TIMEZONE: await askTimeZone(ask, parts) }),
    ...(chosen.includes('alerts') && (await askWebhook(ask, parts))),
  };
}

const presetOf = (name: string): string => VARIABLES.find((one) => one.name === name)?.default ?? '';

function askTimeZone(ask: Asker, parts: TrialParts): Promise<string> {
  return ask.text({
    message: 'Time zone of the schedule',
    initialValue: Intl.DateTimeFormat().resolvedOptions().timeZone,
    validate: checkFor('SYNC_TIMEZONE', parts),
  });
}

async function askWebhook(ask: Asker, parts: TrialParts): Promise<Answers> {
  const url = await ask.secret({
    message: 'ALERT_WEBHOOK_URL (not shown)',
    validate: checkFor('ALERT_WEBHOOK_URL', parts),
  });
  const format = await ask.choose('What takes it?', [
    { value: 'json', label: 'A program', hint: 'JSON' },
    { value: 'slack', label: 'Slack, or what understands its format' },
  ]);
  return { ALERT_WEBHOOK_URL: url.trim(), ALERT_WEBHOOK_FORMAT: format === 'json' ? null : format };
}
