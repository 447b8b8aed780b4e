import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createEmail } from '../../src/alerts/email.ts';
import type { AccountSource } from '../../src/config/account-source.ts';
import { Findings } from '../../src/config/findings.ts';
import { settingsSchema } from '../../src/config/settings.ts';
import { tiledeskAccounts } from '../../src/config/tiledesk.ts';
import { tilkeeAccounts } from '../../src/config/tilkee.ts';
import { type Config, describeConfig, loadConfig, VARIABLES } from '../../src/config.ts';
import { ConfigError, type ConfigProblem, LeadmirrorError } from '../../src/errors.ts';
import { HttpClient } from '../../src/http/client.ts';
import { addressOf } from '../../src/store/address.ts';
import { poolConfig } from '../../src/store/session.ts';

import fc, { seed } from '../helpers/property.ts';
import { SECRET, valuesOf } from './values.ts';

const VALUES = Number(process.env.FUZZ ?? 2_500);
/** The settings of an account are read by the same rules as its variables; reading the file takes longest. */
const KEY_VALUES = Number(process.env.FUZZ_KEY_VALUES ?? 500);
const SOURCES: readonly AccountSource[] = [tiledeskAccounts, tilkeeAccounts];

let cwd = '';
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'leadmirror-fuzz-'));
});
afterAll(() => rmSync(cwd, { recursive: true }));

const SURROUNDINGS = { cwd: tmpdir(), isTerminal: false };

type Texts = Readonly<Record<string, string>>;

/** The first fault of a kind stands for all of them. */
class Faults {
  readonly #byKind = new Map<string, string>();
  /** Problems that were looked at: most are said thousands of times. */
  readonly #looked = new Set<string>();

  add(kind: string, example: string): void {
    if (!this.#byKind.has(kind)) this.#byKind.set(kind, example);
  }

  /** `texts`: what the problems are about; one that throws is looked for among them, one by one. */
  try<T>(work: (texts: Texts) => T, texts: Texts, names = Object.keys(texts)): T | undefined {
    try {
      return work(texts);
    } catch (error) {
      const one = names.find((name) => throws(() => work({ [name]: texts[name] ?? '' })));
      const shown = one === undefined ? texts : texts[one];
      this.add(`${one ?? 'several'} throws ${String(error).split('\n')[0]}`, JSON.stringify(shown));
      return undefined;
    }
  }

  inProblems(problems: readonly ConfigProblem[], texts: Texts): void {
    for (const { variable, message } of problems) {
      const line = `${variable}: ${message}`;
      if (this.#looked.has(line)) continue;
      this.#looked.add(line);
      const example = JSON.stringify(texts[variable] ?? null);
      if (line.includes(SECRET)) this.add(`${variable} shows the secret`, example);
      if (!PLACE.test(variable)) this.add(`names no setting: ${line}`, example);
      if (!WORDS.test(message) || MACHINE.test(message)) this.add(`not in words: ${line}`, example);
    }
  }

  inConfig(config: Config, texts: Texts): void {
    const lines = [...config.notes, ...describeConfig(config).map(({ name, value }) => `${name}: ${value}`)];
    for (const line of lines)
      if (line.includes(SECRET)) this.add('a line shows the secret', `${line} ${JSON.stringify(texts)}`);
  }

  get found(): string[] {
    return [...this.#byKind].map(([kind, example]) => `${kind} <- ${example.slice(0, 300)}`);
  }
}

const throws = (work: () => unknown): boolean => {
  try {
    work();
    return false;
  } catch {
    return true;
  }
};

const NAMES = VARIABLES.map(({ name }) => name).join('|');
const PLACE = new RegExp(
  `^((${NAMES})(_FILE)?|https?_proxy(_FILE)?|no_proxy(_FILE)?|\\.env|leadmirror\\.yaml(: connections.*)?)$`,
);
const WORDS = /^[a-z"][^\p{Cc}]{8,}$/u;
const MACHINE = /Invalid|Expected|received|undefined|NaN|\[object|Error\b|\bat .+:\d+/;

/** A configuration, or its problems; anything else is thrown. */
function load(env: Texts): Config | readonly ConfigProblem[] {
  try {
    return loadConfig({ env, ...SURROUNDINGS, cwd }, { requireConnections: false });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems;
  }
}

const isConfig = (result: Config | readonly ConfigProblem[] | undefined): result is Config =>
  result !== undefined && !Array.isArray(result);

describe('settings of any kind give a configuration, or problems in words', () => {
  let columns: { readonly name: string; readonly values: readonly string[] }[];
  /** Values that nothing was said against. */
  const accepted = new Map<string, Set<string>>(VARIABLES.map(({ name }) => [name, new Set()]));
  const row = (at: number): Texts =>
    Object.fromEntries(columns.map(({ name, values }) => [name, values[at % VALUES] ?? '']));
  beforeAll(() => {
    columns = VARIABLES.map((variable) => ({
      name: variable.name,
      values: fc.sample(valuesOf(variable), { numRuns: VALUES, seed }),
    }));
  });

  it(`${VALUES} values for every variable, by the rules that they are read with`, () => {
    const faults = new Faults();
    const settings = settingsSchema({
      ...SURROUNDINGS,
      timezone: 'UTC',
      hasOpsToken: true,
      isPublic: false,
      allowInsecureHttp: false,
      historyLabel: 'SYNC_HISTORY_STREAMS',
    });
    const checkSettings = (texts: Texts) => {
      const findings = new Findings();
      const filled = VARIABLES.map(({ name, default: usual }) => [name, texts[name] || (usual ?? undefined)]);
      findings.check(settings, Object.fromEntries(filled), ([name]) => String(name));
      return findings.problems;
    };
    let atHand: Texts = {};
    const checks = SOURCES.map((source) => {
      const name = (key: string) => source.settings[key] ?? key;
      const isGiven = (key: string) => atHand[name(key)] !== undefined;
      const schema = source.environment({ allowInsecureHttp: false, hasSecretKey: true, name, isGiven });
      return (texts: Texts) => {
        atHand = texts;
        const findings = new Findings();
        const byKey = Object.fromEntries(
          Object.keys(source.settings).map((key) => [key, texts[name(key)] || undefined]),
        );
        findings.check(schema, { ...byKey, auth: byKey }, (path) => name(String(path.at(-1))));
        return findings.problems;
      };
    });
    for (let at = 0; at < VALUES; at++) {
      const texts = row(at);
      const problems = [checkSettings, ...checks].flatMap((check) => faults.try(check, texts) ?? []);
      faults.inProblems(problems, texts);
      const wrong = new Set(problems.map(({ variable }) => variable));
      for (const [name, value] of Object.entries(texts)) if (!wrong.has(name)) accepted.get(name)?.add(value);
    }
    expect({ seed, faults: faults.found }).toEqual({ seed, faults: [] });
  }, 120_000);

  it('what is accepted can be used, and is described without its secrets', () => {
    const faults = new Faults();
    const base = loadConfig({ env: {}, ...SURROUNDINGS }, { requireConnections: false });
    const use: Readonly<Record<string, (value: string) => Config>> = {
      DATABASE_URL: (value) => {
        try {
          new pg.Client(poolConfig(value, 1));
        } catch (error) {
          // The driver reads the files of sslcert and its kind; openSession names those that are not there.
          const isNamed = error instanceof LeadmirrorError || (error as NodeJS.ErrnoException).syscall === 'open';
          if (!isNamed) throw error;
        }
        addressOf(value);
        return { ...base, databaseUrl: value };
      },
      REDIS_URL: (value) => {
        const urls = value
          .split(',')
          .map((url) => url.trim())
          .filter(Boolean);
        for (const url of urls) new Redis(url, { lazyConnect: true });
        return { ...base, redis: { urls } };
      },
      SMTP_URL: (value) => {
        const { username, password } = new URL(value);
        for (const text of [username, password]) decodeURIComponent(text);
        const email = { to: ['a@b.example'], from: 'a@b.example', smtpUrl: value, allowPlain: false };
        createEmail(email);
        return { ...base, alerts: { ...base.alerts, email } };
      },
      ALERT_WEBHOOK_URL: (url) => ({ ...base, alerts: { ...base.alerts, webhook: { url, format: 'json' } } }),
      HTTPS_PROXY: (httpsProxy) => {
        const http = { ...base.http, proxy: { httpsProxy } };
        void new HttpClient(http).close();
        return { ...base, http };
      },
    };
    const counts: Record<string, number> = {};
    for (const [name, work] of Object.entries(use)) {
      const values = [...(accepted.get(name) ?? [])].filter((value) => value.trim() !== '').slice(0, 1_000);
      counts[name] = values.length;
      for (const value of values) {
        const config = faults.try(({ [name]: text = '' }) => work(text.trim()), { [name]: value });
        if (config) faults.try(() => faults.inConfig(config, { [name]: value }), { [name]: value });
      }
    }
    // Of each there are right ones among them.
    expect(Object.values(counts).every((count) => count > 0)).toBe(true);
    expect({ seed, faults: faults.found }).toEqual({ seed, faults: [] });
  });

  it('the environment as a whole: all at once, one or a few alone, directly or by a file', () => {
    const faults = new Faults();
    for (let at = 0; at < 300; at++) {
      const given = Object.entries(row(at * 7)).filter((_, index) => at % 3 === 0 || (index * 31 + at) % 24 === 0);
      const texts = Object.fromEntries(
        given.map(([name, value], index) => [(at + index) % 5 === 0 ? `${name}_FILE` : name, value]),
      );
      const result = faults.try(load, texts);
      if (isConfig(result)) faults.inConfig(result, texts);
      else faults.inProblems(result ?? [], texts);
    }
    expect({ seed, faults: faults.found }).toEqual({ seed, faults: [] });
  });

  it(`${KEY_VALUES} values for every key of leadmirror.yaml`, () => {
    const faults = new Faults();
    const entries = 500;
    const keysOf = ({ source, settings, secrets }: AccountSource) =>
      [
        ...['id', 'source', 'enabled', 'schedule', 'streamSchedules'].map((key) => [key, '']),
        ...Object.entries(settings),
        ...secrets.map((key) => [`${key}File`, '']),
      ].map(([key = '', name = '']) => {
        const usual = { source, enabled: 'true' }[key] ?? VARIABLES.find((variable) => variable.name === name)?.default;
        return { key, values: fc.sample(valuesOf({ name, default: usual ?? null }), { numRuns: KEY_VALUES, seed }) };
      });
    for (const source of SOURCES) {
      const keys = keysOf(source);
      for (let from = 0; from < KEY_VALUES; from += entries) {
        const list = Array.from({ length: entries }, (_, index) =>
          Object.fromEntries(
            keys.map(({ key, values }, place) => {
              const value = values[from + index] ?? '';
              if (key === 'source' && index % 5 > 0) return [key, source.source];
              if (key === 'schedule' && index % 3 > 0)
                return [key, { incremental: value, reconcile: value, timezone: value }];
              if (key === 'streamSchedules' && index % 3 > 0)
                return [key, { [index % 2 === 0 ? value : 'leads']: { reconcile: value } }];
              // Now and then a key is left out, or has a list.
              if ((index + place) % 11 === 0) return [key, [value, value]];
              return [key, value];
            }),
          ),
        );
        const text = JSON.stringify({ connections: list });
        writeFileSync(join(cwd, 'leadmirror.yaml'), text);
        const result = faults.try(load, {});
        if (isConfig(result)) faults.inConfig(result, {});
        else faults.inProblems(result ?? [], {});
      }
    }
    rmSync(join(cwd, 'leadmirror.yaml'));
    expect({ seed, faults: faults.found }).toEqual({ seed, faults: [] });
  }, 120_000);
});
