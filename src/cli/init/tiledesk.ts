import type { Answers } from '../../config/answers.ts';
import { LeadmirrorError } from '../../errors.ts';
import type { OwnProject } from '../../sources/tiledesk/index.ts';
import type { Asker } from './ask.ts';
import { checkFor, openAll, type TrialParts, tryTiledeskAccount, tryUntilClear, writable } from './trial.ts';

const CLOUD = 'https://api.tiledesk.com/v3';
/** Signing in needs the name of a project, any one. */
const ANY_PROJECT = '0'.repeat(24);

interface TiledeskAnswers {
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
    const trial = { doing: 'Signing in …', certain: ['account', 'address'] } as const;
    const tried = await tryUntilClear(ask, trial, () => tryTiledeskAccount(parts, complete({ ...account })));
    if (tried === 'address') baseUrl = await askAddress(ask, parts, baseUrl);
    if (tried === 'address' || tried === 'account') continue;
    const projectIds = await askProjects(ask, parts, account, tried === 'kept' ? null : tried.value);
    const answers = { ...account, TILEDESK_PROJECT_ID: projectIds };
    // The daemon's own check: is this account owner or admin?
    if (tried !== 'kept' && !(await isOpen(ask, parts, answers))) continue;
    return {
      ...answers,
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
    validate: checkFor('TILEDESK_BASE_URL', parts, complete({})),
  });
}

const complete = (answers: Answers): Answers => ({
  TILEDESK_PROJECT_ID: ANY_PROJECT,
  TILEDESK_EMAIL: 'a@example.com',
  TILEDESK_PASSWORD: 'a',
  ...answers,
});

async function askAccount(
  ask: Asker,
  parts: TrialParts,
  { baseUrl, email }: { readonly baseUrl: string; readonly email: string },
): Promise<TiledeskAnswers> {
  const TILEDESK_EMAIL = await ask.text({
    message: 'E-mail of an owner or admin of the project',
    initialValue: email,
    validate: checkFor('TILEDESK_EMAIL', parts, complete({})),
  });
  const TILEDESK_PASSWORD = await ask.secret({ message: 'Its password', validate: writable('TILEDESK_PASSWORD') });
  return { TILEDESK_BASE_URL: baseUrl, TILEDESK_EMAIL: TILEDESK_EMAIL.trim(), TILEDESK_PASSWORD };
}

async function askProjects(
  ask: Asker,
  parts: TrialParts,
  account: TiledeskAnswers,
  projects: readonly OwnProject[] | null,
): Promise<string> {
  const [first] = projects ?? [];
  if (first !== undefined && projects?.length === 1) {
    ask.print('info', `Its only project: ${first.name ?? first.id}`);
    return first.id;
  }
  if (first !== undefined && projects !== null) {
    const ids = await ask.chooseSome(
      'Which projects? (space selects, enter goes on)',
      projects.map(({ id, name, role }) => ({ value: id, label: name ?? id, hint: `role ${role ?? 'unknown'}` })),
    );
    return ids.join(',');
  }
  return ask.text({
    message: 'Id of the project: the 24 digits in the address bar of the dashboard',
    validate: checkFor('TILEDESK_PROJECT_ID', parts, { ...account }),
  });
}

async function isOpen(ask: Asker, parts: TrialParts, answers: Answers): Promise<boolean> {
  try {
    await openAll(ask, parts, answers);
    return true;
  } catch (error) {
    if (!(error instanceof LeadmirrorError)) throw error;
    ask.print('error', error.message);
    return false;
  }
}
