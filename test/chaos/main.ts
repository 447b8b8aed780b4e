/**
 * Everything goes wrong at once, for as long as you like: see `play.ts`. Ends with 1 when a row was lost or anything else was not as it must be.
 *
 *   SEED      the plan; a random one unless given, printed either way
 *   ROUNDS    incidents per variant (40), or MINUTES per variant
 *   ROWS      rows upstream at the beginning (3000)
 *   VARIANT   redis, postgres or embedded; all three unless given
 */
import { createCli } from '../helpers/cli.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { VARIANTS, type Variant } from './plan.ts';
import { describe, isWell, play } from './play.ts';

const { SEED, ROUNDS, MINUTES, ROWS, VARIANT } = process.env;
const seed = SEED === undefined ? Math.floor(Math.random() * 1_000_000) : Number(SEED);
const rows = Number(ROWS ?? 3_000);
const extent = MINUTES === undefined ? { rounds: Number(ROUNDS ?? 40) } : { forMs: Number(MINUTES) * 60_000 };
const wanted = VARIANTS.filter((variant) => VARIANT === undefined || variant === VARIANT);
if (wanted.length === 0) throw new Error(`VARIANT=${VARIANT}: there are ${VARIANTS.join(', ')}`);

// As the tests do: a run that is cut short leaves nothing behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const say = (text: string) => process.stdout.write(`${text}\n`);
const cli = await createCli();
const redis = wanted.includes('redis') ? await startTestRedis() : null;
try {
  for (const variant of wanted) await playOne(variant);
} finally {
  await redis?.close();
  await cli.close();
}

async function playOne(variant: Variant): Promise<void> {
  if (variant === 'redis' && redis === null) {
    say('no Redis: the variant redis is left out');
    return;
  }
  say(`\n${variant}, SEED=${seed}`);
  const from = performance.now();
  const report = await play({
    ...{ cli, variant, seed, rows, redis, ...extent },
    // The scheduler looks after a queue that forgot everything once a minute.
    everyMs: 1_500,
    recoversWithinMs: 150_000,
    onIncident: ({ kind, lastsMs }) => {
      const at = ((performance.now() - from) / 1000).toFixed(1).padStart(7);
      say(`${at} s  ${kind}${lastsMs > 0 ? ` (${lastsMs} ms)` : ''}`);
    },
  });
  say(describe(report));
  if (!isWell(report)) process.exitCode = 1;
}
