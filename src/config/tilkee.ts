import { z } from 'zod';
import { type AccountRules, type AccountSource, settingsOf } from './account-source.ts';
import { baseUrl } from './address.ts';
import { connectionId, eachOf, flag, headerValue, integer, oneOf, someOf, text } from './values.ts';

const SECRETS = ['password', 'clientSecret', 'refreshToken', 'accessToken'];

const OAUTH = ['username', 'password', 'clientId', 'clientSecret', 'refreshToken'] as const;

type TilkeeKey = (typeof OAUTH)[number] | 'accessToken' | 'projectsApi';

/** Published by Tilkee for each of its two environments; accounts of one are unknown to the other. */
const hostsOf = (suffix: string) => ({
  v3Url: `https://endpoints${suffix}.tilkee.com/v3`,
  v2Url: `https://api${suffix}.tilkee.com/v2`,
  appUrl: `https://app${suffix}.tilkee.com`,
});
const HOSTS = { production: hostsOf(''), staging: hostsOf('-staging') };

export const TILKEE_STREAM_NAMES = ['projects', 'items', 'tokens', 'connexions', 'users'] as const;

const EXTRAS = ['templates', 'archived_projects', 'colleagues_projects', 'archived_tokens'] as const;

const accessToken = text.regex(
  /^[\x21-\x7e]+$/,
  'must be the key alone: plain letters, digits and signs without spaces, without "Bearer"',
);

const scope = text.regex(/^[\x21-\x7e]+( [\x21-\x7e]+)*$/, 'must be plain names with one space between, such as all');

const userId = text.regex(/^\d{1,18}$/, 'must be the number of a Tilkee user, digits only');

const credentials = ({ name, hasSecretKey }: AccountRules<TilkeeKey>) =>
  z
    .object({
      username: text.optional(),
      password: text.optional(),
      clientId: text.optional(),
      clientSecret: text.optional(),
      refreshToken: text.optional(),
      accessToken: accessToken.optional(),
    })
    .superRefine(
      (given, context) => {
        const refuse = (key: keyof typeof given, message: string) =>
          context.addIssue({ code: 'custom', path: [key], message });
        const has = (key: keyof typeof given): boolean => given[key] !== undefined;
        const pair = (key: keyof typeof given, other: keyof typeof given) => {
          if (!has(key) && has(other)) refuse(key, `is missing; it goes with ${name(other)}`);
          if (has(key) && !has(other)) refuse(other, `is missing; it goes with ${name(key)}`);
        };
        if (has('accessToken')) {
          const others = OAUTH.filter(has).map(name);
          if (others.length > 0) refuse('accessToken', `is a sign-in of its own; remove it, or ${others.join(', ')}`);
          return;
        }
        pair('username', 'password');
        pair('clientId', 'clientSecret');
        const account = `${name('username')} with ${name('password')}`;
        if (!OAUTH.some(has)) {
          const remedy = `set ${account}, or ${name('refreshToken')}, or ${name('accessToken')}`;
          refuse('username', `is missing, and so is every other credential of this account; ${remedy}`);
        }
        // A person signs in once, in the browser; where nothing of it can be kept, the next start would be without.
        const isCodeFlow =
          has('clientId') && has('clientSecret') && !has('username') && !has('password') && !has('refreshToken');
        if (isCodeFlow && !hasSecretKey) {
          const remedy = `set LEADMIRROR_SECRET_KEY, then sign in with \`leadmirror tilkee login\``;
          refuse('clientId', `is no sign-in by itself; add ${account}, or ${name('refreshToken')}; or ${remedy}`);
        }
      },
      // Only looks at what is there, so it need not wait until every value is right.
      { when: () => true },
    )
    .transform(({ accessToken, username, password, clientId, clientSecret, refreshToken }) =>
      accessToken === undefined
        ? {
            kind: 'oauth' as const,
            username: username ?? null,
            password: password ?? null,
            clientId: clientId ?? null,
            clientSecret: clientSecret ?? null,
            refreshToken: refreshToken ?? null,
          }
        : { kind: 'key' as const, accessToken },
    );

/** Everything of a connection but its credentials: all of it has a default. */
function manners({ allowInsecureHttp, name, isGiven }: AccountRules<TilkeeKey>) {
  const address = (example: string) => baseUrl({ allowInsecureHttp, example }).optional();
  return {
    env: oneOf(['production', 'staging']),
    v3Url: address(HOSTS.production.v3Url),
    v2Url: address(HOSTS.production.v2Url),
    authUrl: address(HOSTS.production.v3Url),
    appUrl: address(HOSTS.production.appUrl),
    authBody: oneOf(['form', 'json']),
    scope: scope.optional(),
    streams: someOf(TILKEE_STREAM_NAMES, { noun: 'stream' }),
    // A key of the old API opens that one only: there, the default is another.
    projectsApi: oneOf(['v3', 'v2'])
      .transform((api) => (isGiven('accessToken') && !isGiven('projectsApi') ? 'v2' : api))
      .refine(
        (api) => api === 'v2' || !isGiven('accessToken'),
        `v3 does not work with ${name('accessToken')}, which opens the V2 API only; set v2, or leave it out`,
      ),
    requestsPerMinute: integer(10, 100_000),
    /** Of a calendar day, for an account whose plan counts; absent: no limit. */
    requestsPerDay: integer(10, 100_000_000).optional(),
    pageSize: integer(2, 100),
    ref: headerValue,
    include: someOf(EXTRAS, { noun: 'list', none: true }),
    arrayParams: oneOf(['repeat', 'csv']),
    timeUnit: oneOf(['s', 'ms']),
    visitsBy: oneOf(['auto', 'list', 'project', 'token']),
    orderByUpdate: flag,
    actAs: eachOf(userId, 'names no user; leave it out to read as yourself only').optional(),
  };
}

const account = (rules: AccountRules<TilkeeKey>) =>
  z
    .object({ id: connectionId.optional(), auth: credentials(rules), ...manners(rules) })
    .transform(({ id, env, v3Url = HOSTS[env].v3Url, v2Url, authUrl, appUrl, scope, include, actAs, ...rest }) => ({
      /** `tilkee:default`, unless leadmirror.yaml gives another. */
      id: id ?? 'tilkee:default',
      source: 'tilkee' as const,
      v3Url,
      v2Url: v2Url ?? HOSTS[env].v2Url,
      /** Where to sign in; default: where V3 is. */
      authUrl: authUrl ?? v3Url,
      appUrl: appUrl ?? HOSTS[env].appUrl,
      scope: scope ?? null,
      extras: include,
      actAs: [...new Set(actAs)],
      ...rest,
    }));

export const tilkeeEntry = account;

const NO_RULES: AccountRules = {
  allowInsecureHttp: false,
  hasSecretKey: false,
  name: (key) => key,
  isGiven: () => false,
};

export const tilkeeAccounts: AccountSource = {
  source: 'tilkee',
  title: 'Tilkee account',
  streams: TILKEE_STREAM_NAMES,
  settings: settingsOf('TILKEE', [...Object.keys(manners(NO_RULES)), ...OAUTH, 'accessToken']),
  anchors: [...OAUTH, 'accessToken'],
  secrets: SECRETS,
  addresses: ['env', 'v3Url', 'v2Url', 'authUrl', 'appUrl'],
  identity: 'id',
  enabledBy: 'TILKEE_ENABLED',
  idle: (rules) => z.object(manners(rules)),
  environment: (rules) => account(rules).transform((connection) => [connection]),
  entry: tilkeeEntry,
  advice: ({ isGiven, hasSecretKey }) =>
    isGiven('refreshToken') && !hasSecretKey
      ? [
          {
            key: 'refreshToken',
            message: 'a refresh token that Tilkee replaces is lost at the next start; set LEADMIRROR_SECRET_KEY',
          },
        ]
      : [],
};
