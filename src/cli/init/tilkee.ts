import { randomBytes } from 'node:crypto';
import { type Answers, problemWith } from '../../config/answers.ts';
import { AuthError } from '../../errors.ts';
import type { Asker } from './ask.ts';
import { doubtAfter, messageOf, type TrialParts, tryConnections } from './trial.ts';
import { askAfterWeather } from './weather.ts';
import { writable } from './writable.ts';

export interface TilkeeAnswers {
  readonly answers: Answers;
  /** The sign-in still needs a person and a browser. */
  readonly needsLogin: boolean;
}

const NO_ADDRESSES: Answers = { TILKEE_V3_URL: null, TILKEE_V2_URL: null, TILKEE_AUTH_URL: null, TILKEE_APP_URL: null };
const NO_CREDENTIALS: Answers = {
  ...{ TILKEE_USERNAME: null, TILKEE_PASSWORD: null, TILKEE_REFRESH_TOKEN: null, TILKEE_ACCESS_TOKEN: null },
  ...{ TILKEE_CLIENT_ID: null, TILKEE_CLIENT_SECRET: null },
};

/** Asks for a Tilkee account until it works. */
export async function askTilkee(ask: Asker, parts: TrialParts): Promise<TilkeeAnswers> {
  let addresses = await askAddresses(ask, parts);
  const way = await ask.choose('How does leadmirror sign in?', [
    { value: 'password', label: 'User name and password' },
    { value: 'key', label: 'A static key', hint: 'opens the V2 API only' },
    { value: 'browser', label: 'An application, and once in the browser', hint: 'client id and secret' },
  ]);
  if (way === 'browser') return { answers: await askApplication(ask, parts, addresses), needsLogin: true };
  let username = '';
  for (;;) {
    const credentials: Answers = way === 'key' ? await askKey(ask, parts) : await askPassword(ask, username);
    username = credentials.TILKEE_USERNAME ?? '';
    const answers = { ...addresses, TILKEE_ENABLED: null, ...NO_CREDENTIALS, ...credentials };
    const next = await openUntilClear(ask, parts, answers);
    if (next === 'done') return { answers, needsLogin: false };
    if (next === 'address') addresses = await askAddresses(ask, parts);
  }
}

async function askAddresses(ask: Asker, parts: TrialParts): Promise<Answers> {
  const env = await ask.choose('Which Tilkee?', [
    { value: 'production', label: 'Production', hint: 'app.tilkee.com' },
    { value: 'staging', label: 'Staging', hint: 'app-staging.tilkee.com' },
    { value: 'other', label: 'Other addresses' },
  ]);
  if (env !== 'other') return { ...NO_ADDRESSES, TILKEE_ENV: env === 'staging' ? env : null };
  const askUrl = (name: 'TILKEE_V3_URL' | 'TILKEE_V2_URL', message: string) =>
    ask.text({
      message,
      validate: (text) =>
        problemWith(name, { TILKEE_USERNAME: 'a', TILKEE_PASSWORD: 'a', [name]: text }, parts) ?? writable(name)(text),
    });
  return {
    ...NO_ADDRESSES,
    TILKEE_ENV: null,
    TILKEE_V3_URL: await askUrl('TILKEE_V3_URL', 'Address of the V3 API'),
    TILKEE_V2_URL: await askUrl('TILKEE_V2_URL', 'Address of the V2 API'),
  };
}

async function askPassword(ask: Asker, username: string): Promise<Answers> {
  return {
    TILKEE_USERNAME: (
      await ask.text({
        message: 'Login of the account; leadmirror sees what it sees',
        initialValue: username,
        validate: writable('TILKEE_USERNAME'),
      })
    ).trim(),
    TILKEE_PASSWORD: await ask.secret({ message: 'Its password', validate: writable('TILKEE_PASSWORD') }),
  };
}

async function askKey(ask: Asker, parts: TrialParts): Promise<Answers> {
  const TILKEE_ACCESS_TOKEN = await ask.secret({
    message: 'The key, from the developer area of the web app',
    validate: (text) => problemWith('TILKEE_ACCESS_TOKEN', { TILKEE_ACCESS_TOKEN: text }, parts),
  });
  return { TILKEE_ACCESS_TOKEN: TILKEE_ACCESS_TOKEN.trim() };
}

async function askApplication(ask: Asker, parts: TrialParts, addresses: Answers): Promise<Answers> {
  const clientId = await ask.text({
    message: 'Client id, from the developer area',
    validate: writable('TILKEE_CLIENT_ID'),
  });
  const secret = await ask.secret({ message: 'Client secret', validate: writable('TILKEE_CLIENT_SECRET') });
  const credentials = { TILKEE_CLIENT_ID: clientId.trim(), TILKEE_CLIENT_SECRET: secret.trim() };
  // The sign-in is kept encrypted; without a key of its own there is nowhere to keep it.
  const needsKey = problemWith('TILKEE_CLIENT_ID', credentials, parts) !== undefined;
  ask.say('info', 'This one is tried when you sign in: leadmirror tilkee login');
  return {
    ...{ ...addresses, TILKEE_ENABLED: null, ...NO_CREDENTIALS, ...credentials },
    ...(needsKey && { LEADMIRROR_SECRET_KEY: randomBytes(24).toString('hex') }),
  };
}

async function openUntilClear(
  ask: Asker,
  parts: TrialParts,
  answers: Answers,
): Promise<'done' | 'account' | 'address'> {
  for (;;) {
    ask.say('step', 'Signing in …');
    try {
      await open(ask, parts, answers);
      return 'done';
    } catch (error) {
      const doubt = doubtAfter(error);
      ask.say('error', messageOf(error));
      if (doubt === 'account') return doubt;
      // Nothing of Tilkee was ever tried on the real server, so a refusal is no proof against the answers.
      const choice = await askAfterWeather(ask);
      if (choice === 'keep') return 'done';
      if (choice === 'change') return 'address';
    }
  }
}

async function open(ask: Asker, parts: TrialParts, answers: Answers): Promise<void> {
  await tryConnections(parts, answers, async (connections, options) => {
    for (const connection of connections) {
      const { summary } = await connection.open(options);
      ask.say('success', `${connection.id}: ${summary}`);
      for (const { name, knock } of connection.doors ?? []) {
        const said = await knock(options).catch((error: unknown) => {
          if (!(error instanceof AuthError)) doubtAfter(error);
          ask.say('warn', `${name}: ${messageOf(error)}`);
          return null;
        });
        if (said !== null) ask.say('success', `${name}: ${said}`);
      }
    }
  });
}
