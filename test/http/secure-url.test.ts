import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../src/errors.ts';
import { assertSecureUrl, hostAndPort, redactedPath } from '../../src/http/secure-url.ts';

describe('assertSecureUrl', () => {
  it.each([
    'https://api.example.com/v3',
    'http://localhost:3000',
    'http://127.0.0.1',
    'http://127.8.9.10:81/x',
    'http://[::1]:3000/',
  ])('accepts %s', (address) => {
    expect(assertSecureUrl(address).href).toBe(new URL(address).href);
  });

  it.each([
    'http://api.example.com',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'http://0.0.0.0',
    'http://192.168.1.4',
    'http://[::2]/',
    'ftp://127.0.0.1/',
    'api.example.com',
    '',
    'https://user:canary@api.example.com',
  ])('refuses %p, naming the setting and not repeating a secret', (address) => {
    let refusal: unknown;
    try {
      assertSecureUrl(address, { variable: 'TILEDESK_BASE_URL' });
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(ConfigError);
    expect((refusal as ConfigError).problems).toHaveLength(1);
    expect((refusal as ConfigError).message).toMatch(/^TILEDESK_BASE_URL: /);
    expect((refusal as ConfigError).message).not.toContain('canary');
  });

  it('accepts plain http elsewhere when that is allowed on purpose', () => {
    expect(assertSecureUrl('http://tiledesk.internal', { allowInsecureHttp: true }).host).toBe('tiledesk.internal');
  });
});

describe('what may be shown of an address', () => {
  it('is the path without the query', () => {
    expect(redactedPath('https://api.example.com/v3/p1/leads/abc?email=canary#canary')).toBe('/v3/p1/leads/abc');
    expect(redactedPath('canary')).not.toContain('canary');
  });

  it('names the port that is really used', () => {
    expect(hostAndPort(new URL('https://api.example.com/x'))).toBe('api.example.com:443');
    expect(hostAndPort(new URL('http://[::1]:3000/x'))).toBe('[::1]:3000');
  });
});
