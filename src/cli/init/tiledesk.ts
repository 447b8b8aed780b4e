import { type Answers, problemWith } from '../../config/answers.ts';
import type { OwnProject } from '../../sources/tiledesk/index.ts';
import type { Asker } from './ask.ts';
import { type Doubt, doubtAfter, messageOf, type TrialParts, tryConnections, tryTiledeskAccount } from './trial.ts';
import { askAfterWeather } from './weather.ts';
import { writable } from './writable.ts';

const CLOUD = 'https://api.tiledesk.com/v3';
/** Signing in needs the name of a project, any one. */
const ANY_PROJECT = '0'.repeat(24);

interface Account {
  readonly TILEDESK_BASE_URL: string;
  readonly TILEDESK_EMAIL: string;
  readonly TILEDESK_PASSWORD: string;
}

/** Asks for a Tiledesk account and its projects until they work; what was right is not asked for twice. */
export async function askTiledesk(ask: Asker, parts: TrialParts): Promise<Answers> {
  let baseUrl = await askAddress(ask, parts, null);
  let email = '';
  for (;;) {
    const account = await askAccount(ask, parts, { baseUrl, email });
    email = account.TILEDESK_EMAIL;
    const outcome = await signInUntilClear(ask, parts, account);
    if (outcome === 'address') baseUrl = await askAddress(ask, parts, baseUrl);
    if (typeof outcome !== 'object') continue;
    const projectIds = await askProjects(ask, parts, account, outcome.projects);
    if (outcome.isTried && !(await areOpen(ask, parts, { ...account, TILEDESK_PROJECT_ID: projectIds }))) continue;
    return {
      ...account,
      TILEDESK_PROJECT_ID: projectIds,
      TILEDESK_BASE_URL: baseUrl === CLOUD ? null : baseUrl,
      TILEDESK_TOKEN: null,
    };
  }
}

async function askAddress(ask: Asker, parts: TrialParts, known: string | null): Promise<string> {
  const where = await ask.choose('Where is your Tiledesk?', [
    { value: 'cloud', label: 'In the cloud', hint: 'tiledesk.com' },
    { value: 'own', label: 'On a server of our own' },
  ]);
  if (where === 'cloud') return CLOUD;
  return ask.text({
    message: 'Address of its API, with its prefix if it has one',
    placeholder: 'https://chat.example.com/api',
    ...(known !== null && known !== CLOUD && { initialValue: known }),
    validate: (text) => problemWith('TILEDESK_BASE_URL', complete({ TILEDESK_BASE_URL: text }), parts),
  });
}

const complete = (answers: Answers): Answers => ({
  ...{ TILEDESK_PROJECT_ID: ANY_PROJECT, TILEDESK_EMAIL: 'a@example.com', TILEDESK_PASSWORD: 'a' },
  ...answers,
});

async function askAccount(
  ask: Asker,
  parts: TrialParts,
  { baseUrl, email }: { readonly baseUrl: string; readonly email: string },
): Promise<Account> {
  const TILEDESK_EMAIL = await ask.text({
    message: 'E-mail of an owner or admin of the project',
    initialValue: email,
    validate: (text) => problemWith('TILEDESK_EMAIL', complete({ TILEDESK_EMAIL: text }), parts),
  });
  const TILEDESK_PASSWORD = await ask.secret({ message: 'Its password', validate: writable('TILEDESK_PASSWORD') });
  return { TILEDESK_BASE_URL: baseUrl, TILEDESK_EMAIL: TILEDESK_EMAIL.trim(), TILEDESK_PASSWORD };
}

/** Signed in, or tried in vain and kept; otherwise which answer to ask for again. */
async function signInUntilClear(
  ask: Asker,
  parts: TrialParts,
  account: Account,
): Promise<{ readonly projects: readonly OwnProject[] | null; readonly isTried: boolean } | Doubt> {
  for (;;) {
    ask.say('step', 'Signing in …');
    try {
      return { projects: await tryTiledeskAccount(parts, complete({ ...account })), isTried: true };
    } catch (error) {
      const doubt = doubtAfter(error);
      ask.say('error', messageOf(error));
      if (doubt !== 'weather') return doubt;
      const choice = await askAfterWeather(ask);
      if (choice === 'keep') return { projects: null, isTried: false };
      if (choice === 'change') return 'address';
    }
  }
}

async function askProjects(
  ask: Asker,
  parts: TrialParts,
  account: Account,
  projects: readonly OwnProject[] | null,
): Promise<string> {
  const [first, ...others] = projects ?? [];
  if (first !== undefined && others.length === 0) {
    ask.say('info', `Its only project: ${first.name ?? first.id}`);
    return first.id;
  }
  if (first !== undefined) {
    const all = [first, ...others];
    const ids = await ask.chooseSome(
      'Which projects? (space selects, enter goes on)',
      all.map(({ id, name, role }) => ({ value: id, label: name ?? id, hint: `role ${role ?? 'unknown'}` })),
    );
    return ids.join(',');
  }
  return ask.text({
    message: 'Id of the project: the 24 digits in the address bar of the dashboard',
    validate: (text) => problemWith('TILEDESK_PROJECT_ID', { ...account, TILEDESK_PROJECT_ID: text }, parts),
  });
}

/** The daemon's own check: is this account owner or admin? */
async function areOpen(ask: Asker, parts: TrialParts, answers: Answers): Promise<boolean> {
  try {
    await tryConnections(parts, answers, async (connections, options) => {
      for (const connection of connections) {
        const { summary } = await connection.open(options);
        ask.say('success', `${connection.id}: ${summary}`);
      }
    });
    return true;
  } catch (error) {
    doubtAfter(error);
    ask.say('error', messageOf(error));
    return false;
  }
}
