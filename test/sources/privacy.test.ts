import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createConnector } from '../../src/app/connector.ts';
import { vaultsIn } from '../../src/app/mirror-database.ts';
import { createHttpClient } from '../../src/app/upstreams.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { createLocalBudget } from '../../src/http/budget.ts';
import { silentLogger } from '../../src/logger.ts';
import { readName } from '../../src/sources/field-names.ts';
import { redactSecrets, redactTiledesk, redactTilkee } from '../../src/sources/privacy.ts';

const NONE = { storeVisitorPii: false, storeLinks: false };
const VISITORS = { storeVisitorPii: true, storeLinks: false };

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
const SPELLINGS: readonly ((words: readonly string[]) => string)[] = [
  (words) => words.join('_'),
  (words) => words.join('-'),
  (words) => words.join('.'),
  (words) => words.join(' '),
  (words) => words.join('_').toUpperCase(),
  (words) => words.map(capital).join(''),
  (words) => words.map(capital).join('-'),
  (words) => words.map((word, index) => (index === 0 ? word : capital(word))).join(''),
  (words) => words.map((word) => (word === 'ip' ? 'IP' : capital(word))).join(''),
];
const BEFORE = [[], ['x'], ['last'], ['http'], ['visitor'], ['my'], ['meta', 'client'], ['zq']];
const AFTER = [[], ['1'], ['raw'], ['value']];

const VISITOR_NAMES = [
  ['ip'],
  ['ips'],
  ['ip', 'address'],
  ['ip', 'addr'],
  ['ipv4'],
  ['ipv6'],
  ['client', 'ip'],
  ['real', 'ip'],
  ['login', 'ip'],
  ['true', 'client', 'ip'],
  ['cf', 'connecting', 'ip'],
  ['remote', 'addr'],
  ['remote', 'address'],
  ['forwarded', 'for'],
  ['user', 'agent'],
  ['ua'],
];
const SECRET_NAMES = [
  ['password'],
  ['passwd'],
  ['pwd'],
  ['secret'],
  ['client', 'secret'],
  ['access', 'token'],
  ['token'],
  ['push', 'token'],
  ['reset', 'password', 'token'],
  ['authorization'],
  ['api', 'key'],
  ['private', 'key'],
  ['jwt'],
  ['cookie'],
  ['credentials'],
  ['credit', 'card'],
  ['card', 'number'],
  ['cvv'],
  ['otp'],
];
const styled = (names: readonly (readonly string[])[]) =>
  fc
    .tuple(
      fc.constantFrom(...BEFORE),
      fc.constantFrom(...names),
      fc.constantFrom(...AFTER),
      fc.constantFrom(...SPELLINGS),
    )
    .map(([before, name, after, spell]) => spell([...before, ...name, ...after]));

/** Somewhere in a record: in objects, lists, pairs, and JSON inside a text. */
const planted = (name: string, value: unknown): readonly unknown[] => [
  { id: 1, [name]: value },
  { id: 1, attributes: { deep: [{ [name]: value }] } },
  { id: 1, [name]: { inner: [value] } },
  { id: 1, fields: [{ name, value }] },
  { id: 1, payload: JSON.stringify({ [name]: value }) },
];
const REDACTIONS = { tiledesk: redactTiledesk, tilkee: redactTilkee };

describe.each(Object.entries(REDACTIONS))('%s', (_, redact) => {
  it('drops traces of visitors under any spelling of their names, unless the setting allows them', () => {
    fc.assert(
      fc.property(styled(VISITOR_NAMES), (name) => {
        for (const record of planted(name, 'canary')) {
          expect(JSON.stringify(redact(record, NONE))).not.toContain('canary');
          expect(redact(record, VISITORS)).toBe(record);
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ...['XIP', 'XIPs', 'XIPRaw', 'XIPValue', 'XIP1', 'XIPv4Raw', 'X-IP', 'X-IP-1', 'x_ip_raw', 'x.ip.value', 'xip_raw'],
    ...['xIpRaw', 'XIpValue', 'X_IP_RAW', 'XUARaw', 'x_ua_value'],
  ])('drops the value of %s', (name) => {
    expect(redact({ [name]: 'canary' }, NONE)).toEqual({});
  });

  it('drops secrets of accounts under any spelling of their names, whatever the settings', () => {
    fc.assert(
      fc.property(styled(SECRET_NAMES), (name) => {
        for (const record of planted(name, 'canary')) {
          // A tracked link is an object; what is in it has names of its own.
          if (redact === redactTilkee && readName(name).token !== null && JSON.stringify(record).includes('inner'))
            continue;
          expect(JSON.stringify(redact(record, { storeVisitorPii: true, storeLinks: true }))).not.toContain('canary');
        }
      }),
      { numRuns: 500 },
    );
  });

  const ordinary = fc.stringMatching(/^[a-z]{5,9}(_[a-z]{5,9})?$/).filter((name) => {
    const { kind, isSecret, isTrace, token } = readName(name);
    return kind === 'plain' && !isSecret && !isTrace && token === null;
  });
  const ipv6 = fc.ipV6().filter((text) => /[1-9a-f]/i.test(text));
  const traces = fc.oneof(
    fc.ipV4().filter((text) => !text.endsWith('.0.0.0')),
    ipv6,
    fc.constantFrom(
      '::ffff:203.0.113.7',
      'fe80::1%eth0',
      '[2001:db8::1]:443',
      '203.0.113.7:51022',
      '203.0.113.7, 10.0.0.1',
      'for=203.0.113.7;proto=https',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36',
      'curl/8.4.0',
      'Mozilla/5.0 of nobody',
      'WhatsApp/2.23.20.0 A',
      'to%3D203.0.113.7',
      'PostmanRuntime/7.36.0',
      'MyApp/3.1 (iPhone; iOS 17.0; Scale/3.00)',
      'Dalvik/2.1.0 (Linux; U; Android 13)',
    ),
  );

  it('drops addresses and user agents under names that tell nothing, alone or inside a text', () => {
    fc.assert(
      fc.property(ordinary, traces, fc.constantFrom('', 'seen ', '{"a": '), (name, value, before) => {
        const after = before.startsWith('{') ? '}' : '';
        for (const record of planted(name, before + (after === '' ? value : JSON.stringify(value)) + after)) {
          expect(JSON.stringify(redact(record, NONE))).not.toContain(value);
          expect(redact(record, VISITORS)).toBe(record);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlY2FuYXJ5',
    'Bearer 0123456789abcdef',
    `Basic ${Buffer.from('user:canary').toString('base64')}`,
    '4111 1111 1111 1111',
    '5555555555554444',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIEcanary\n-----END RSA PRIVATE KEY-----',
    `AKIA${'IOSFODNN7EXAMPLE'}`,
    `sk_${'live'}_4eC39HqLyjWDarjtT1zdp7dc`,
    `$2b$10$${'N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'}`,
    'https://user:canary@example.test/x',
    'https://example.test/reset?token=canary123&x=1',
    'https://example.test/reset?x=1&api_key=canary123',
  ])('stores nothing of %s, not even in what a person wrote', (value) => {
    const part = value.split(/[?@]/).at(-1) ?? value;
    const secret = value.includes('canary123') ? 'canary123' : value.includes('://') ? 'user:canary' : part;
    for (const name of ['zorbl', 'text', 'first_text', 'fullname', 'note']) {
      for (const text of [value, `look: ${value} there`]) {
        const kept = JSON.stringify(redact({ id: 1, [name]: text }, { storeVisitorPii: true, storeLinks: false }));
        expect(kept).not.toContain(JSON.stringify(secret).slice(1, -1));
      }
    }
  });

  it.each([
    ['what a person wrote', { text: 'my router is 192.168.1.1', first_text: '1.2.3.4', subject: 'Ping ::1 fails' }],
    ['an address in a note or a name', { note: 'calls from 10.1.2.3', fullname: 'Guest 203.0.113.9' }],
    ['versions and phone numbers', { version: '1.2.3.4', app_version: '10.0.1.2', phone: '20.12.34.56' }],
    ['versions that stand out', { zorbl: 'v1.2.3.4', other: 'Chrome 119.0.0.0', more: '1.2.3.4-beta1' }],
    [
      'words that only look alike',
      { zip: '20121', tip: 'x', recipient: 'x', shipping: 'x', description: 'x', ownership: 'x' },
    ],
    [
      'other words',
      { secretary: 'x', author: 'x', authenticated: 'yes', compass: 'x', keyboard: 'x', monkey: 'x', passenger: 'x' },
    ],
    [
      'what is said about tokens',
      { tokens_count: 3, max_tokens: 256, token_id: 'abc', token_type: 'x', total_tokens: 12 },
    ],
    ['flags', { has_cookie: true, ip_enabled: true, storeUserAgent: false }],
    [
      'dates, times and numbers',
      { at: '2026-11-27T20:30:00.123Z', time: '12:30:45', ms: 1764275400000, n: 1.5, range: '10:20:30' },
    ],
    ['ids', { _id: '5e8f8c8f8c8f8c8f8c8f8c8f', id: 4111111111111111, request_id: 'support-group-1-2c9d' }],
    ['addresses of the web', { sourcePage: 'http://10.0.0.5/shop?item=4&ref=mail', avatar: 'https://x.test/a.png' }],
    [
      'paths, media types and fractions',
      { path: 'docs/2024', mime: 'application/json', other: 'img/2.png', half: '1/2', proto: 'HTTP/1.1' },
    ],
    [
      'a browser by its name',
      { browser: 'Firefox', agent: 'Anna', ip_country: 'IT', description: 'Basic information' },
    ],
    ['a map by country and C++', { zorbl: { IT: 3, UA: '' }, code: 'std::vector' }],
  ])('keeps %s', (_title, record) => {
    const { ...same } = record;
    if ('zorbl' in record && typeof record.zorbl === 'object') Object.assign(same, { zorbl: { IT: 3 } });
    expect(redact(same, NONE)).toBe(same);
  });

  it('ends at a depth that no record has', () => {
    const nest = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}{"ip":"canary"}${'}'.repeat(levels)}`);
    expect(JSON.stringify(redact(nest(2000), NONE))).not.toContain('canary');
    const lists = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
    // By its own bound, before the stack ends: that would say another sentence.
    for (const levels of [2002, 10_000]) {
      expect(() => redact(nest(levels), NONE)).toThrow('levels deep');
      expect(() => redact(lists(levels), NONE)).toThrow('levels deep');
    }
  });

  it('takes any record, and finds nothing in what it left', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (record) => {
        const once = redact(record, NONE);
        expect(redact(once, NONE)).toEqual(once);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['digits', '1'.repeat(200_000)],
    ['dots', '1.'.repeat(100_000)],
    ['colons', 'a:'.repeat(100_000)],
    ['slashes', 'a/1 '.repeat(50_000)],
    ['brackets', `Mozilla/5.0 ${'('.repeat(100_000)}`],
    ['equals', 'a='.repeat(100_000)],
    ['spaces', `a/1.1${' '.repeat(100_000)}x`],
    ['keys', 'eyJabcdefg.'.repeat(20_000)],
    ['begins', '-----BEGIN PRIVATE KEY-----'.repeat(5000)],
    ['words', 'Bearer '.repeat(30_000)],
    ['addresses', '://a:'.repeat(50_000)],
    ['user', `://${'a'.repeat(200_000)}`],
  ])('reads a long text of %s in a moment', (_title, text) => {
    const before = process.cpuUsage();
    redact({ zorbl: text, note: text }, NONE);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1500);
  });
});

describe('redactSecrets', () => {
  it('leaves out what opens an account, and nothing else', () => {
    expect(redactSecrets({ id: 1, ip: '203.0.113.7', password: 'x', user: { api_key: 'y' } })).toEqual({
      ...{ id: 1, ip: '203.0.113.7' },
      user: {},
    });
  });
});

const TILEDESK = ['leads', 'requests', 'departments', 'project_users', 'messages', 'bots', 'groups', 'tags'];
const TILKEE = ['projects', 'items', 'tokens', 'connexions', 'users'];

describe('every stream', () => {
  const env = {
    TILEDESK_PROJECT_ID: '5f0000000000000000000001',
    TILEDESK_TOKEN: 'JWT x',
    TILEDESK_STREAMS: TILEDESK.join(),
    TILKEE_ACCESS_TOKEN: 'x',
    TILKEE_STREAMS: TILKEE.join(),
  };

  it.each([false, true])('of both sources keeps to the rules, STORE_VISITOR_PII=%s', async (storesPii) => {
    const config = loadConfig({ env: { ...env, STORE_VISITOR_PII: String(storesPii) }, cwd: '/', isTerminal: false });
    const client = createHttpClient(() => config, systemClock);
    const budgetOf = ({ requestsPerMinute }: { requestsPerMinute: number }) =>
      createLocalBudget(requestsPerMinute, systemClock);
    const vaultOf = vaultsIn(config, null);
    const connect = createConnector(config, { logger: silentLogger(), clock: systemClock, client, budgetOf, vaultOf });
    const connections = connect(config.connections);
    await client.close();
    const streams = connections.flatMap((connection) => connection.streams);
    expect(streams.map(({ name }) => name).sort()).toEqual(
      [...TILEDESK.map((name) => `tiledesk.${name}`), ...TILKEE.map((name) => `tilkee.${name}`)].sort(),
    );
    const record = {
      clientIP: '203.0.113.7',
      zorbl: 'seen from 203.0.113.7',
      id_user: { password: 'canary' },
      kept: 1,
    };
    const visitor = storesPii ? { clientIP: record.clientIP, zorbl: record.zorbl } : { zorbl: 'seen from [removed]' };
    const expected = { ...visitor, id_user: {}, kept: 1 };
    const kept = Object.fromEntries(streams.map(({ name, redactRecord }) => [name, redactRecord(record)]));
    expect(kept).toEqual(Object.fromEntries(streams.map(({ name }) => [name, expected])));
  });
});
