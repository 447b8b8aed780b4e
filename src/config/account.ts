import { z } from 'zod';
import {
  baseUrl,
  connectionId,
  email,
  flag,
  integer,
  oneOf,
  projectId,
  required,
  text,
  tiledeskStreams,
  tiledeskToken,
} from './values.ts';

/*
 * What a connection is. The schemas take the settings as text under the keys that leadmirror.yaml has for them, whether they
 * come from there or from variables; only the credentials are a group of their own, `auth`, because they depend on one another.
 */

export interface Rules {
  readonly allowInsecureHttp: boolean;
  /** How the operator knows a setting: `TILEDESK_EMAIL`, or `email` in the file. */
  name(key: 'auth' | 'email' | 'password' | 'token'): string;
}

export const tiledeskAuth = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['jwt', 'basic']), email: z.string(), password: z.string() }),
  z.object({ kind: z.literal('token'), token: z.string() }),
]);

const credentials = ({ name }: Rules) =>
  z
    .object({
      auth: oneOf(['jwt', 'basic']),
      token: tiledeskToken.optional(),
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
export const manners = ({ allowInsecureHttp }: Rules) => ({
  /** Without a trailing slash. */
  baseUrl: baseUrl(allowInsecureHttp),
  streams: tiledeskStreams,
  requestsPerMinute: integer(10, 100_000),
  pageSize: integer(10, 100),
  scanKey: oneOf(['_id', 'createdAt']),
  /** Accept a role other than owner or admin on purpose: such a role may see only a part of the requests. */
  allowCustomRole: flag,
});

export const account = (rules: Rules) => ({ auth: credentials(rules), ...manners(rules) });

type Checked = z.output<z.ZodObject<ReturnType<typeof account>>> & { readonly id?: string; readonly projectId: string };

export const toConnection = ({ id, projectId, scanKey, ...rest }: Checked) => ({
  /** `tiledesk:<project>`, unless leadmirror.yaml gives another. */
  id: id ?? `tiledesk:${projectId}`,
  source: 'tiledesk' as const,
  /** 24 hex digits in lower case, or 12 other characters. */
  projectId,
  /** Sort key of full walks: `id` is exact, `created_at` spares servers that cannot sort a large project by id. */
  fullWalkKey: scanKey === '_id' ? ('id' as const) : ('created_at' as const),
  ...rest,
});

export const tiledeskEntry = (rules: Rules) =>
  z
    .object({
      source: z.literal('tiledesk'),
      ...account(rules),
      projectId: required('is missing; name the project to mirror').pipe(projectId),
      id: connectionId.optional(),
    })
    .transform(({ source, ...rest }) => toConnection(rest));

function sourceAdvice(source: unknown): string {
  if (source === null) return '';
  if (source === undefined) return 'is missing; write "source: tiledesk"';
  if (source === 'tilkee') return 'tilkee is not mirrored by this version yet; leave this connection out';
  return 'must be tiledesk';
}

export const entry = (rules: Rules) =>
  z.discriminatedUnion('source', [tiledeskEntry(rules)], {
    error: ({ input }) => sourceAdvice((input as { source?: unknown }).source),
  });
