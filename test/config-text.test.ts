import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isGuessable } from '../src/config/guessable.ts';
import { type Config, loadConfig } from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';

const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';
const ACCOUNT = { TILEDESK_PROJECT_ID: PROJECT, TILEDESK_EMAIL: 'ada@example.com' };
const UMASK = process.umask();

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'leadmirror-text-'));
});
afterEach(() => {
  process.umask(UMASK);
  rmSync(cwd, { recursive: true });
});

const put = (name: string, content: string | Buffer): void => writeFileSync(join(cwd, name), content, { mode: 0o600 });
const load = (env: Record<string, string> = {}): Config => loadConfig({ env, cwd, isTerminal: false });
const problems = (env: Record<string, string> = {}): string[] => {
  try {
    load(env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
  }
};
const passwordOf = ({ connections: [connection] }: Config): unknown =>
  connection?.source === 'tiledesk' && 'password' in connection.auth ? connection.auth.password : undefined;

/** The ways to give a password; each returns the configuration that it makes. */
const WAYS: Readonly<Record<string, (text: string) => Config>> = {
  'the environment': (text) => load({ ...ACCOUNT, TILEDESK_PASSWORD: text }),
  NAME_FILE: (text) => {
    put('password', text);
    return load({ ...ACCOUNT, TILEDESK_PASSWORD_FILE: 'password' });
  },
  'leadmirror.yaml': (text) => {
    const [email, password] = ['ada@example.com', JSON.stringify(text)];
    put(
      'leadmirror.yaml',
      JSON.stringify({ connections: [{ source: 'tiledesk', projectId: PROJECT, email, password: '@' }] }).replace(
        '"@"',
        password,
      ),
    );
    return load();
  },
  'a reference of leadmirror.yaml': (text) => {
    const entry = { source: 'tiledesk', projectId: PROJECT, email: 'ada@example.com', password: `\${SHOP}` };
    put('leadmirror.yaml', JSON.stringify({ connections: [entry] }));
    return load({ SHOP: text });
  },
};

describe.each(Object.entries(WAYS))('a password from %s', (_, give) => {
  test.each(['pw\n', 'pw\r\n', '\npw\n\n', '\ufeffpw', '\ufeffpw\r\n'])(
    '%j is read without what is around it',
    (text) => {
      const config = give(text);
      expect(passwordOf(config)).toBe('pw');
      expect(config.notes).toEqual([]);
    },
  );

  test.each([
    ['"pw"', 'is in quotes'],
    ["'pw'", 'is in quotes'],
    ['\u201cpw\u201d', 'is in quotes'],
    ['pw\u00a0', 'a no-break space (U+00A0) as character 3'],
    ['p\u200bw', 'a zero-width space (U+200B) as character 2'],
    ['pw\ufeff', 'a byte order mark (U+FEFF) as character 3'],
    ['pw\u2028', 'U+2028 as character 3'],
    ['pw\u202e', 'U+202E as character 3'],
    ['p\u3000w', 'U+3000 as character 2'],
    ['pw\t', 'a tab (U+0009) as character 3'],
    ['p\nw', 'a line end (U+000A) as character 2'],
  ])('%j is kept, and what may be wrong with it is named', (text, hint) => {
    const config = give(text);
    const kept = config.connections.length > 0 ? passwordOf(config) : undefined;
    // A variable of any name loses the spaces around it; one that is known to be a password keeps them.
    expect([text, text.trim()]).toContain(kept);
    if (kept === text) expect(config.notes.join()).toContain(hint);
    expect(config.notes.join()).not.toContain('pw');
  });
});

test('spaces around a password are kept and named; a block of YAML loses its line end', () => {
  const config = load({ ...ACCOUNT, TILEDESK_PASSWORD: ' pw ' });
  expect(passwordOf(config)).toBe(' pw ');
  expect(config.notes.join()).toContain('TILEDESK_PASSWORD begins or ends with a space');
  put(
    'leadmirror.yaml',
    `connections:\n  - source: tiledesk\n    projectId: ${PROJECT}\n    email: a@b.example\n    password: |\n      pw\n`,
  );
  expect(passwordOf(load())).toBe('pw');
});

test('every other variable is trimmed, of what cannot be seen too, by the same rule', () => {
  for (const text of ['debug\n', '\ufeffdebug', '\u00a0debug\r\n ', 'debug\u2029']) {
    expect(load({ ...ACCOUNT, TILEDESK_PASSWORD: 'pw', LOG_LEVEL: text }).log.level).toBe('debug');
  }
  const wrong = problems({ ...ACCOUNT, TILEDESK_PASSWORD: 'pw', OPS_HOST: 'local\u200bhost', LOG_LEVEL: '"info"' });
  expect(wrong.join('\n')).toContain('OPS_HOST: has a zero-width space (U+200B) as character 6');
  expect(wrong.join('\n')).toContain('LOG_LEVEL: is in quotes');
});

const ENV_TEXT = `TILEDESK_PROJECT_ID=${PROJECT}\r\nTILEDESK_EMAIL=ada@example.com\r\nTILEDESK_PASSWORD="pä€😀"\r\nLOG_LEVEL=debug\r\n`;
const littleEndian = (text: string): Buffer => Buffer.from(text, 'utf16le');
const bigEndian = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

describe('a file saved as', () => {
  test.each([
    ['UTF-8', Buffer.from(ENV_TEXT)],
    ['UTF-8 with a mark', Buffer.from(`\ufeff${ENV_TEXT}`)],
    ['UTF-16 little endian with a mark', littleEndian(`\ufeff${ENV_TEXT}`)],
    ['UTF-16 little endian without', littleEndian(ENV_TEXT)],
    ['UTF-16 big endian with a mark', bigEndian(`\ufeff${ENV_TEXT}`)],
    ['UTF-16 big endian without', bigEndian(ENV_TEXT)],
    ['with carriage returns alone', Buffer.from(ENV_TEXT.replaceAll('\r\n', '\r'))],
  ])('%s is read, .env, leadmirror.yaml or a secret', (_, bytes) => {
    put('.env', bytes);
    const config = load();
    expect([passwordOf(config), config.log.level]).toEqual(['pä€😀', 'debug']);
    rmSync(join(cwd, '.env'));
    put('secret', bytes);
    expect(String(passwordOf(load({ ...ACCOUNT, TILEDESK_PASSWORD_FILE: 'secret' })))).toMatch(/^TILEDESK_PROJECT_ID=/);
  });

  test.each([
    [
      'Latin-1',
      Buffer.from('# café\nA=1\nTILEDESK_PASSWORD=café\n', 'latin1'),
      'holds characters that are not UTF-8 (line 1)',
    ],
    ['UTF-32', Buffer.from('fffe000041000000', 'hex'), 'is saved as UTF-32'],
    ['half of UTF-16', littleEndian('\ufeffA=1').subarray(0, 7), 'holds characters that are not UTF-16LE'],
    ['text with a NUL', Buffer.from('A=1\nB=\0\n'), 'line 2 holds a NUL character'],
    ['a program', readFileSync(process.execPath).subarray(0, 4096), 'cannot be used'],
  ])('%s is named, with what to do', (_, bytes, expected) => {
    put('.env', bytes);
    expect(problems().join('\n')).toContain('.env: cannot be used');
    expect(problems().join('\n')).toContain(expected);
    expect(problems().join('\n')).toContain('save it as UTF-8');
    rmSync(join(cwd, '.env'));
    put('leadmirror.yaml', bytes);
    expect(problems().join('\n')).toContain('leadmirror.yaml: cannot be used');
    rmSync(join(cwd, 'leadmirror.yaml'));
    put('secret', bytes);
    const found = problems({ ...ACCOUNT, TILEDESK_PASSWORD_FILE: 'secret' }).join('\n');
    expect(found).toContain('TILEDESK_PASSWORD_FILE: names a file that cannot be used');
    expect(found).toContain(expected);
  });

  test('a pipe is read when its writer comes', () => {
    const pipe = join(cwd, 'pipe');
    execFileSync('mkfifo', [pipe]);
    spawn('sh', ['-c', `sleep 0.3; (printf s3; sleep 0.3; printf cret) > ${pipe}`]);
    expect(passwordOf(load({ ...ACCOUNT, TILEDESK_PASSWORD_FILE: 'pipe' }))).toBe('s3cret');
    rmSync(pipe);
  });

  test('.env whose names have characters that cannot be seen is named, with the line', () => {
    for (const odd of ['\u200b', '\u00a0', '\ufeff']) {
      put('.env', `A=1\n${odd}TILEDESK_PASSWORD=pw\n`);
      expect(problems(ACCOUNT).join('\n')).toContain('.env: line 2 is not NAME=value');
    }
  });
});

describe('a secret of our own', () => {
  const all = { ...ACCOUNT, TILEDESK_PASSWORD: 'pw' };
  const WEAK = [
    ...['change-me-change-me', 'changeme', 'CHANGE_ME', 'change me', 'please-change-me!', 'replace-me', '<your token>'],
    ...[
      'aaaaaaaaaaaaaaaaaaaaaaaa',
      '1111111111111111',
      'abababababababab',
      'abcabcabcabcabcabc',
      'secret-secret-secret',
    ],
    ...['passwordpassword', 'password12345678', 'Password-Password-1', 'adminadminadminadmin', 'my-secret-token-123'],
    ...[
      '0123456789abcdef',
      '1234567890123456',
      'abcdefghijklmnop',
      'ponmlkjihgfedcba',
      'qwertyuiopasdfgh',
      '9876543210987654',
    ],
    ...[
      'leadmirror-secret-key',
      'leadmirror-token',
      'the-ops-token-1234',
      'your-secret-key-here!!',
      'test-test-test-test',
    ],
  ];
  test.each(WEAK)('%s is refused as OPS_TOKEN beyond this machine and as LEADMIRROR_SECRET_KEY', (text) => {
    expect(problems({ ...all, OPS_HOST: '0.0.0.0', OPS_TOKEN: text }).join()).toContain('OPS_TOKEN');
    expect(problems({ ...all, LEADMIRROR_SECRET_KEY: text }).join()).toContain('LEADMIRROR_SECRET_KEY');
  });

  test.each(['a', 'secret', 'k3mPq9_xTz'])('%s is too short for a token beyond this machine', (text) => {
    for (const host of ['0.0.0.0', '::', '192.0.2.1', 'leadmirror.example']) {
      const found = problems({ ...all, OPS_HOST: host, OPS_TOKEN: text });
      expect(found).toEqual([
        expect.stringMatching(/^OPS_TOKEN: must be at least 16 characters .* openssl rand -hex 24$/),
      ]);
    }
    expect(load({ ...all, OPS_TOKEN: text }).notes).toEqual([expect.stringContaining('OPS_TOKEN is short')]);
  });

  test.each([
    '9f86d081884c7d659a2feaa0c55ad015',
    'fK2-x9_Lq8Zt0wPe',
    'a-long-enough-token',
    'correct horse battery staple',
    '4821907365510284',
  ])('%s is taken', (text) => {
    expect(isGuessable(text)).toBe(false);
  });

  test('placeholders of our own files are refused whatever they are for', () => {
    const manifest = readFileSync('deploy/kubernetes/leadmirror.yaml', 'utf8');
    const values = [...manifest.matchAll(/^ {2}(\w*(?:TOKEN|PASSWORD|KEY)): (.+)$/gm)].map(([, name, value]) => [
      name,
      value,
    ]);
    expect(values.length).toBeGreaterThan(1);
    expect(load({ ...all, DATABASE_URL: 'postgres://u:change-me@h/db' }).notes.join()).toContain('placeholder');
    for (const [, value] of values) {
      expect(problems({ ...all, TILEDESK_PASSWORD: value ?? '' }).join()).toContain('still the placeholder');
    }
  });
});

describe('a file with secrets that others may read', () => {
  const secret = 'HTTPS_PROXY=http://user:pw@proxy.example:3128\n';

  test.each([
    [0o644, 'read (mode 0644)'],
    [0o604, 'read (mode 0604)'],
    [0o666, 'change (mode 0666)'],
    [0o602, 'change (mode 0602)'],
  ])('of mode %o is named with what to do', (mode, expected) => {
    put('.env', secret);
    put('token', '9f86d081884c7d659a2feaa0c55ad015');
    put(
      'leadmirror.yaml',
      `connections:\n  - source: tiledesk\n    projectId: ${PROJECT}\n    email: a@b.example\n    password: pw\n`,
    );
    for (const name of ['.env', 'token', 'leadmirror.yaml']) chmodSync(join(cwd, name), mode);
    const { openFiles } = load({ OPS_TOKEN_FILE: 'token' });
    expect(openFiles).toHaveLength(3);
    for (const name of ['.env', 'token', 'leadmirror.yaml']) {
      expect(openFiles.join('\n')).toContain(`chmod 600 ${join(cwd, name)}`);
    }
    for (const line of openFiles) expect(line).toContain(`may ${expected}`);
  });

  test('is none when it is closed, or holds no secret', () => {
    put('.env', secret);
    expect(load({ ...ACCOUNT, TILEDESK_PASSWORD: 'pw' }).openFiles).toEqual([]);
    put('.env', 'LOG_LEVEL=debug\n');
    put(
      'leadmirror.yaml',
      `connections:\n  - source: tiledesk\n    projectId: ${PROJECT}\n    email: a@b.example\n    password: \${PW}\n`,
    );
    for (const name of ['.env', 'leadmirror.yaml']) chmodSync(join(cwd, name), 0o644);
    expect(load({ PW: 'pw' }).openFiles).toEqual([]);
  });
});
