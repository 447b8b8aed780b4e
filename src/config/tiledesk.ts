import { z } from 'zod';
import { type AccountRules, type AccountSource, settingsOf } from './account-source.ts';
import { baseUrl } from './address.ts';
import { connectionId, eachOf, flag, integer, oneOf, required, someOf, text } from './values.ts';

const CREDENTIALS = ['email', 'password', 'token'] as const;

type TiledeskKey = (typeof CREDENTIALS)[number] | 'auth';

export const TILEDESK_STREAM_NAMES = [
  'leads',
  'requests',
  'departments',
  'project_users',
  'bots',
  'groups',
  'tags',
  'messages',
  'activities',
] as const;

const HEX_ID = /^[0-9a-f]{24}$/i;

/** Tiledesk takes 24 hex digits, or any 12 characters; of those only such that leave the request path as it is. */
const projectId = text
  .refine(
    (id) => HEX_ID.test(id) || (/^[!-~]{12}$/.test(id) && !/[/\\?#%,]/.test(id)),
    'must be a Tiledesk project id: 24 hexadecimal digits, as in the address bar of the dashboard',
  )
  .transform((id) => (HEX_ID.test(id) ? id.toLowerCase() : id));

const email = text.regex(/^[^\s@:]+@[^\s@:]+$/, 'must be an e-mail address');

const token = text.regex(
  /^JWT [\x21-\x7e]+$/,
  'must be the token as the sign-in returns it: "JWT", one space, then the long text (not "Bearer")',
);

const tiledeskAuth = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['jwt', 'basic']), email: z.string(), password: z.string() }),
  z.object({ kind: z.literal('token'), token: z.string() }),
]);

const credentials = ({ name }: AccountRules<TiledeskKey>) =>
  z
    .object({
      auth: oneOf(['jwt', 'basic']),
      token: token.optional(),
      email: email.optional(),
      password: text.optional(),
    })
    .superRefine(
      (given, context) => {
        const refuse = (key: keyof typeof given, message: string) =>
          context.addIssue({ code: 'custom', path: [key], message });
        const [token, email, password] = [given.token, given.email, given.password].map((each) => each !== undefined);
        if (token && given.auth === 'basic') {
          const remedy = `set ${name('email')} and ${name('password')} instead, or leave ${name('auth')} out`;
          refuse('auth', `basic does not work with ${name('token')}; ${remedy}`);
        }
        if (token && (email || password)) {
          const choice = `either ${name('token')}, or ${name('email')} with ${name('password')}`;
          refuse('token', `is set together with an e-mail or password; keep ${choice}`);
        }
        if (!token && !email && !password) {
          const remedy = `set it with ${name('password')}, or set ${name('token')}`;
          refuse('email', `is missing, and so is every other credential of this project; ${remedy}`);
        }
        if (!token && !email && password) refuse('email', `is missing; it goes with ${name('password')}`);
        if (!token && email && !password) refuse('password', `is missing; it goes with ${name('email')}`);
      },
      // Only looks at what is there, so it need not wait until every value is right.
      { when: () => true },
    )
    .transform(({ auth, token, ...account }) =>
      token === undefined ? { kind: auth, ...account } : { kind: 'token', token },
    )
    .pipe(tiledeskAuth);

/** Everything of a connection but its credentials and its project: all of it has a default. */
const manners = ({ allowInsecureHttp }: Pick<AccountRules, 'allowInsecureHttp'>) => ({
  /** Without a trailing slash. */
  baseUrl: baseUrl({ allowInsecureHttp, example: 'https://api.tiledesk.com/v3' }).refine(
    (address) => !/\/[0-9a-f]{24}(\/|$)/i.test(new URL(address).pathname),
    'must end before the project id, which has its own setting',
  ),
  streams: someOf(TILEDESK_STREAM_NAMES, { noun: 'stream' }).refine(
    (names) => !names.includes('messages') || names.includes('requests'),
    'names messages without requests; messages are read conversation by conversation, so add requests',
  ),
  requestsPerMinute: integer(10, 100_000),
  /** Of a calendar day, for an account whose plan counts; absent: no limit. */
  requestsPerDay: integer(10, 100_000_000).optional(),
  pageSize: integer(10, 100),
  maxPageSize: integer(10, 1_500),
  scanKey: oneOf(['_id', 'createdAt']),
  /** Accept a role other than owner or admin on purpose: such a role may see only a part of the requests. */
  allowCustomRole: flag,
});

const account = (rules: AccountRules<TiledeskKey>) => ({ auth: credentials(rules), ...manners(rules) });

type Checked = z.output<z.ZodObject<ReturnType<typeof account>>> & {
  readonly id?: string | undefined;
  readonly projectId: string;
};

const toConnection = ({ id, projectId, scanKey, ...rest }: Checked) => ({
  /** `tiledesk:<project>`, unless leadmirror.yaml gives another. */
  id: id ?? `tiledesk:${projectId}`,
  source: 'tiledesk' as const,
  /** 24 hex digits in lower case, or 12 other characters. */
  projectId,
  /** Sort key of full syncs: `id` is exact, `created_at` is for servers that cannot sort a large project by id. */
  fullSyncKey: scanKey === '_id' ? ('id' as const) : ('created_at' as const),
  ...rest,
});

export const tiledeskEntry = (rules: AccountRules<TiledeskKey>) =>
  z
    .object({
      ...account(rules),
      projectId: required('is missing; name the project to mirror').pipe(projectId),
      id: connectionId.optional(),
    })
    .transform(toConnection);

/** Several projects of one account are a connection each. */
function tiledeskEnvironment(rules: AccountRules<TiledeskKey>) {
  const credential = CREDENTIALS.find((key) => rules.isGiven(key)) ?? 'email';
  const missing = `is not set, but ${rules.name(credential)} is; name the project to mirror`;
  return z
    .object({ projectId: required(missing).pipe(eachOf(projectId, 'names no project')), ...account(rules) })
    .transform(({ projectId: ids, ...rest }) => ids.map((id) => toConnection({ projectId: id, ...rest })));
}

export const tiledeskAccounts: AccountSource = {
  source: 'tiledesk',
  title: 'Tiledesk project',
  streams: TILEDESK_STREAM_NAMES,
  settings: settingsOf('TILEDESK', [
    'projectId',
    ...CREDENTIALS,
    'auth',
    ...Object.keys(manners({ allowInsecureHttp: false })),
  ]),
  anchors: ['projectId', ...CREDENTIALS],
  secrets: ['password', 'token'],
  addresses: ['baseUrl'],
  identity: 'projectId',
  idle: (rules) => z.object(manners(rules)),
  environment: tiledeskEnvironment,
  entry: tiledeskEntry,
};
