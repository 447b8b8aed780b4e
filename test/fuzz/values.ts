import type { Variable } from '../../src/config.ts';
import fc from '../helpers/property.ts';

/** Put where a secret may be: in values that are one, in user names, passwords, paths and queries of addresses. */
export const SECRET = 'c4n4ryOfAValue';
/** One letter that stands for the secret while a value is being changed, so that it stays whole. */
const MARK = '\u00a7';

const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';

/** Right values of those variables that have no default, by name. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  TILEDESK_PROJECT_ID: [PROJECT, `${PROJECT},aaaabbbbcccc`],
  TILEDESK_EMAIL: [`${MARK}@example.com`],
  TILEDESK_TOKEN: [`JWT ${MARK}`],
  TILKEE_ACT_AS: ['12,13'],
  TILKEE_SCOPE: ['all read'],
  LEADMIRROR_SECRET_KEY: [`${MARK}${MARK}`],
  ALERT_EMAIL_TO: ['Ops <ops@example.com>, b@example.com'],
  ALERT_EMAIL_FROM: ['ops@example.com'],
  OTEL_EXPORTER_OTLP_HEADERS: [`authorization=Basic%20${MARK},x=${MARK}`],
  NO_PROXY: ['localhost,.example.com'],
};

const SCHEMES: Readonly<Record<string, readonly string[]>> = {
  DATABASE_URL: ['postgres:', 'postgresql:'],
  REDIS_URL: ['redis:', 'rediss:'],
  SMTP_URL: ['smtp:', 'smtps:'],
};

/** What breaks a value: all that ends a part of an address, percent signs that stand for nothing or for no letter, odd letters and numbers. */
const SPLINTERS =
  '/ // ? # @ : % %zz %2 %ff %00 %0a %C3%28 \\ [ ] [::1] , = & \' " $ { } .. -1 0 12 65536 1e9 NaN null true __proto__ constructor';
const splinter = fc.constantFrom(...SPLINTERS.split(' '), ' ', '\n', '\r', '\t', '\0', 'é', '\u{1f600}', '\ud800');
const pieces = fc
  .array(fc.oneof(splinter, fc.constantFrom('a', 'Z', '7')), { maxLength: 3 })
  .map((all) => all.join(''));

const junk = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({ maxLength: 20 }),
  fc.oneof(fc.integer(), fc.double()).map(String),
  fc.array(splinter, { maxLength: 6 }).map((all) => all.join('')),
  fc.constantFrom('', MARK, `Bearer ${MARK}`, `https://app:${MARK}@host.example/`, `leads,${MARK}`, 'x'.repeat(5_000)),
);

/** A right value with one to three pieces put in or put over it. */
const nearly = (examples: readonly string[]) =>
  fc
    .tuple(
      fc.constantFrom(...examples),
      fc.array(fc.tuple(fc.nat(200), fc.nat(2), splinter), { minLength: 0, maxLength: 3 }),
    )
    .map(([example, changes]) =>
      changes.reduce((value, [at, cut, text]) => {
        const start = at % (value.length + 1);
        return value.slice(0, start) + text + value.slice(start).replace(new RegExp(`^[^${MARK}]{0,${cut}}`), '');
      }, example),
    );

/** Addresses with a secret in each part that may hold one; the name of a database is none. */
const address = (schemes: readonly string[]) =>
  fc
    .record({
      scheme: fc.constantFrom(...schemes, 'https:'),
      user: fc.oneof(fc.constant(''), pieces),
      password: fc.oneof(
        fc.constant(`:${MARK}`),
        fc.tuple(pieces, pieces).map(([a, b]) => `:${a}${MARK}${b}`),
      ),
      host: fc.constantFrom(
        'db.example',
        '127.0.0.1',
        '[::1]',
        '',
        'a.example,b.example',
        'xn--a',
        'h\u00f4te.example',
      ),
      port: fc.constantFrom('', ':5432', ':0', ':65536', ':x'),
      path: fc.oneof(
        fc.constantFrom('', '/', '/mirror', '/1', ...(schemes.includes('postgres:') ? [] : [`/${MARK}`])),
        pieces,
      ),
      query: fc.oneof(
        fc.constantFrom(
          '',
          '?sslmode=require',
          '?sslmode=nonsense',
          '?options=-c%20a=1',
          '?sslcert=/none',
          '?host=/run',
        ),
        pieces.map((text) => `?password=${MARK}${text}`),
        pieces.map((text) => `#${MARK}${text}`),
      ),
    })
    .map(
      ({ scheme, user, password, host, port, path, query }) =>
        `${scheme}//${user}${password}@${host}${port}${path}${query}`,
    );

/** Values for a setting: junk, and right ones that are broken a little. */
export function valuesOf({ name, default: usual }: Pick<Variable, 'name' | 'default'>): fc.Arbitrary<string> {
  const examples = EXAMPLES[name] ?? (usual === null ? [MARK] : [usual]);
  const isAddress = /_(URL|PROXY|ENDPOINT|HOST)$/.test(name);
  const any = isAddress
    ? fc.oneof(junk, nearly(examples), address(SCHEMES[name] ?? ['http:', 'https:']))
    : fc.oneof(junk, nearly(examples));
  return any.map((value) => value.replaceAll(MARK, SECRET));
}
