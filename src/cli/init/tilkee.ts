import { randomBytes } from 'node:crypto';
import { type Answers, problemWith } from '../../config/answers.ts';
import type { Asker } from './ask.ts';
import { checkFor, openAll, type TrialParts, tryUntilClear, writable } from './trial.ts';

const NO_ADDRESSES: Answers = { TILKEE_V3_URL: null, TILKEE_V2_URL: null, TILKEE_AUTH_URL: null, TILKEE_APP_URL: null };
const NO_CREDENTIALS: Answers = {
  ...{ TILKEE_USERNAME: null, TILKEE_PASSWORD: null, TILKEE_REFRESH_TOKEN: null, TILKEE_ACCESS_TOKEN: null },
  ...{ TILKEE_CLIENT_ID: null, TILKEE_CLIENT_SECRET: null },
};

/** Asks for a Tilkee account until it works. `needsLogin`: the sign-in still needs a person and a browser. */
export async function askTilkee(ask: Asker, parts: TrialParts) {
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
    // Tilkee was never tried on the real server, so only a refusal of the account counts against the answers.
    const trial = { doing: 'Signing in …', certain: ['account'] } as const;
    const tried = await tryUntilClear(ask, trial, () => openAll(ask, parts, answers));
    if (tried === 'address') addresses = await askAddresses(ask, parts);
    else if (tried !== 'account') return { answers, needsLogin: false };
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
    ask.text({ message, validate: checkFor(name, parts, { TILKEE_USERNAME: 'a', TILKEE_PASSWORD: 'a' }) });
  return {
    ...NO_ADDRESSES,
    TILKEE_ENV: null,
    TILKEE_V3_URL: await askUrl('TILKEE_V3_URL', 'Address of the V3 API'),
    TILKEE_V2_URL: await askUrl('TILKEE_V2_URL', 'Address of the V2 API'),
  };
}

async function askPassword(ask: Asker, username: string): Promise<Answers> {
  const login = await ask.text({
    message: 'Login of the account; leadmirror sees what it sees',
    initialValue: username,
    validate: writable('TILKEE_USERNAME'),
  });
  const TILKEE_PASSWORD = await ask.secret({ message: 'Its password', validate: writable('TILKEE_PASSWORD') });
  return { TILKEE_USERNAME: login.trim(), TILKEE_PASSWORD };
}

async function askKey(ask: Asker, parts: TrialParts): Promise<Answers> {
  const TILKEE_ACCESS_TOKEN = await ask.secret({
    message: 'The key, from the developer area of the web app',
    validate: checkFor('TILKEE_ACCESS_TOKEN', parts),
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
  ask.print('info', 'This one is tried when you sign in: leadmirror tilkee login');
  return {
    ...addresses,
    TILKEE_ENABLED: null,
    ...NO_CREDENTIALS,
    ...credentials,
    ...(needsKey && { LEADMIRROR_SECRET_KEY: randomBytes(24).toString('hex') }),
  };
}
