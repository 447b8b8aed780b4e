/** Addresses that hold a password: what is raw in it is refused, and none of it is ever repeated. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addressProblem } from '../src/config/address.ts';
import { loadConfig } from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';

/** `npm run test:all` reads whole environments of random texts, at length. */
const RUNS = 15;

const SECRET = 'Zx9-hidden';
const ACCOUNT = { TILEDESK_PROJECT_ID: '5f0000000000000000000001', TILEDESK_TOKEN: 'JWT x' };
const SCHEMES: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgres',
  REDIS_URL: 'redis',
  HTTPS_PROXY: 'http',
  SMTP_URL: 'smtps',
  ALERT_WEBHOOK_URL: 'https',
  TILEDESK_BASE_URL: 'https',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'https',
};
const mail = { ALERT_EMAIL_TO: 'a@example.com', ALERT_EMAIL_FROM: 'b@example.com' };

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig({ env: { ...ACCOUNT, ...env, ...('SMTP_URL' in env ? mail : {}) }, cwd: '/', isTerminal: false });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
    throw error;
  }
}

describe.each(Object.entries(SCHEMES))('%s', (name, scheme) => {
  it.each(['/', '#', '?', '@', '%', ' ', '%zz', '%E9', '/1/', '\\'])('refuses a raw "%s" in a password', (raw) => {
    const problems = problemsOf({ [name]: `${scheme}://user:${SECRET}${raw}${SECRET}@host.example/5` });
    expect(problems.length).toBe(1);
    expect(problems[0]).toMatch(new RegExp(`^${name}: .*(percent-encode|must not hold a user name)`));
    expect(problems.join()).not.toContain(SECRET);
  });

  it.each(['/', '#', '?'])('refuses a raw "%s" behind digits, which would be read as a port', (raw) => {
    const problems = problemsOf({ [name]: `${scheme}://user:123${raw}${SECRET}@host.example/5` });
    expect(problems).toEqual([
      expect.stringMatching(new RegExp(`^${name}: .*(percent-encode|must not hold a user name)`)),
    ]);
    expect(problems.join()).not.toContain(SECRET);
  });

  it('never repeats any of an address that it refuses', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (before, after) => {
        const problems = problemsOf({ [name]: `${scheme}://${before}${SECRET}${after}` });
        expect(problems.join()).not.toContain(SECRET);
      }),
      { numRuns: RUNS },
    );
  });
});

it.each([
  ['several hosts', 'postgres://user:pw@one:5432,two:5432/db', /names several hosts/],
  [
    'a raw "#" in a password behind the "?"',
    `postgres://host/db?user=u&password=${SECRET}#${SECRET}`,
    /percent-encode/,
  ],
  ['a NUL', `postgres://user:${SECRET}%00@host/db`, /percent-encode/],
])('refuses %s in DATABASE_URL', (_, address, problem) => {
  expect(problemsOf({ DATABASE_URL: address })).toEqual([expect.stringMatching(problem)]);
  expect(problemsOf({ DATABASE_URL: address }).join()).not.toContain(SECRET);
});

it('takes every password that is percent-encoded', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (password) => {
      const address = `postgres://user:${encodeURIComponent(password.toWellFormed())}@host:5432/db`;
      // Neither a server nor a person has a control character in a password.
      if (!/\p{Cc}/u.test(password)) expect(addressProblem(address)).toBeNull();
    }),
  );
});

it('takes addresses without a password as they are usually written', () => {
  const usual = [
    'postgres:///db?host=/run/postgresql',
    'postgres://user:a,b:c@host/db?options=-c%20a%3D1',
    'redis://a',
    'https://hooks.example.com/@team/x?y=1',
    'rediss://u:p@h:1/0',
  ];
  expect(usual.filter((address) => addressProblem(address) !== null)).toEqual([]);
});
