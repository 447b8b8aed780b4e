import { Writable } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { linkCanary, secretCanary, visitorCanary } from '../../sandbox/tilkee.ts';
import { setupTilkee, type TilkeeSetup } from '../helpers/tilkee-mirror.ts';

/** Everything that any table of the mirror holds, as one text. */
async function everythingStored({ query }: TilkeeSetup): Promise<string> {
  const tables = await query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    texts.push(...(await query<{ row: string }>(`select t::text as row from ${name} t`)).map(({ row }) => row));
  }
  return texts.join('\n');
}

function keptLog() {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  // Without the program's own redaction: nothing may be handed to the logger in the first place.
  const logger = pino({ level: 'trace' }, stream);
  return { logger, text: () => lines.join('') };
}

async function runEverything(setup: TilkeeSetup): Promise<string> {
  const results = [...(await setup.syncAll('backfill')), ...(await setup.syncAll('incremental'))];
  setup.sandbox.data.randomEdits(50);
  setup.sandbox.faults.push(
    { kind: '500', match: { list: 'v2.tokens' } },
    { kind: 'garbled-json', match: { list: 'v2.connexions' } },
  );
  setup.sandbox.faults.revokeTokens();
  results.push(...(await setup.syncAll('reconcile')));
  setup.sandbox.switches.rowWithoutId = true;
  results.push(...(await setup.syncAll('reconcile')));
  setup.sandbox.switches.refuse = { 'v2.tokens': 403, 'v2.users': 403, 'v3.items': 422 };
  results.push(...(await setup.syncAll('reconcile')));
  expect(results.some(({ outcome }) => outcome === 'failed')).toBe(true);
  expect(results.some(({ quarantined }) => quarantined > 0)).toBe(true);
  return JSON.stringify(results, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}

export const CASES: readonly { env: Readonly<Record<string, string>>; kept: readonly string[] }[] = [
  { env: {}, kept: [] },
  { env: { STORE_VISITOR_PII: 'true' }, kept: [visitorCanary] },
  { env: { TILKEE_STORE_LINKS: 'true' }, kept: [linkCanary] },
  { env: { LEADMIRROR_SECRET_KEY: 'a key that nobody guesses' }, kept: [] },
];

/** Sets up an account of Tilkee with these variables, and searches everything that is stored, reported and logged of it. */
export function describePrivacy(cases: typeof CASES): void {
  describe('private fields of the upstream', () => {
    it.each(cases)(
      'are in no table, log line or error: $env',
      async ({ env, kept }) => {
        const { logger, text } = keptLog();
        const sizes = { projects: 15, items: 15, tokens: 30, visits: 40 };
        const setup = await setupTilkee({ ...sizes, env: { ...env, TILKEE_PAGE_SIZE: '20' }, logger });
        try {
          const told = await runEverything(setup);
          const stored = await everythingStored(setup);

          const found = (where: string) =>
            [secretCanary, linkCanary, visitorCanary].filter((canary) => where.includes(canary));
          expect(found(stored)).toEqual(kept);
          expect(found(told)).toEqual([]);
          expect(found(text())).toEqual([]);
          expect(stored).not.toContain(setup.sandbox.password);
          expect(text()).not.toContain(setup.sandbox.username);
          expect(text().length).toBeGreaterThan(1000);
        } finally {
          await setup.close();
        }
      },
      90_000,
    );
  });
}
