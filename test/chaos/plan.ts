import { seededRandom } from '../helpers/shifting-list.ts';

/** Where the queue and the database of a stage are. `embedded`: neither DATABASE_URL nor REDIS_URL; the program starts its own Postgres. */
export type Variant = 'redis' | 'postgres' | 'embedded';

export const VARIANTS: readonly Variant[] = ['redis', 'postgres', 'embedded'];

export type IncidentKind =
  | 'kill the program'
  | 'kill Redis'
  | 'flush Redis'
  | 'forget the queue'
  | 'cut the database'
  | 'end database sessions'
  | 'kill Postgres'
  | 'fill the disk'
  | 'upstream 503'
  | 'upstream 429'
  | 'upstream 500'
  | 'upstream resets'
  | 'upstream hangs'
  | 'upstream cuts answers'
  | 'upstream sends pages of HTML'
  | 'upstream truncates pages'
  | 'upstream forgets tokens'
  | 'upstream clock jumps';

/** Incidents on one of these wait for each other; on different ones they overlap. */
export type Target = 'program' | 'queue' | 'database' | 'disk' | 'upstream';

interface IncidentSpec {
  readonly target: Target;
  /** How long it lasts, ms; both 0: it is over as soon as it was made good. */
  readonly lastsMs: readonly [number, number];
  readonly variants: readonly Variant[];
  readonly weight: number;
}

const OWN_DATABASE: readonly Variant[] = ['redis', 'postgres'];
const QUEUE_IN_POSTGRES: readonly Variant[] = ['postgres', 'embedded'];

export const INCIDENTS: Readonly<Record<IncidentKind, IncidentSpec>> = {
  'kill the program': { target: 'program', lastsMs: [0, 500], variants: VARIANTS, weight: 2 },
  'kill Redis': { target: 'queue', lastsMs: [100, 1_500], variants: ['redis'], weight: 2 },
  'flush Redis': { target: 'queue', lastsMs: [0, 0], variants: ['redis'], weight: 2 },
  'forget the queue': { target: 'queue', lastsMs: [0, 0], variants: QUEUE_IN_POSTGRES, weight: 2 },
  'cut the database': { target: 'database', lastsMs: [100, 1_500], variants: OWN_DATABASE, weight: 2 },
  'end database sessions': { target: 'database', lastsMs: [0, 0], variants: VARIANTS, weight: 1 },
  'kill Postgres': { target: 'database', lastsMs: [0, 0], variants: VARIANTS, weight: 1 },
  'fill the disk': { target: 'disk', lastsMs: [300, 2_000], variants: VARIANTS, weight: 1 },
  'upstream 503': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream 429': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream 500': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream resets': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream hangs': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream cuts answers': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream sends pages of HTML': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream truncates pages': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
  'upstream forgets tokens': { target: 'upstream', lastsMs: [0, 0], variants: VARIANTS, weight: 1 },
  'upstream clock jumps': { target: 'upstream', lastsMs: [500, 2_500], variants: VARIANTS, weight: 1 },
};

export interface Incident {
  readonly kind: IncidentKind;
  /** After the beginning of the plan. */
  readonly atMs: number;
  readonly lastsMs: number;
  /** 0 to 1, for whatever else the incident has to choose. */
  readonly dice: number;
}

export interface PlanOptions {
  readonly variant: Variant;
  readonly seed: number;
  /** So many incidents, or as many as fit into the time. */
  readonly rounds?: number;
  readonly forMs?: number;
  /** Between two incidents, on average. */
  readonly everyMs?: number;
  /** False where the Redis belongs to somebody else. */
  readonly hasOwnRedis?: boolean;
}

/**
 * Pure: the same options give the same plan. The kinds are dealt from a shuffled deck, so that each one comes up early; in the first deck the deaths of
 * the program come late, because a job of the dead is only taken up when its lock ends, and what came right after would meet nobody at work.
 */
export function createPlan({
  variant,
  seed,
  rounds,
  forMs,
  everyMs = 900,
  hasOwnRedis = true,
}: PlanOptions): Incident[] {
  const random = seededRandom(seed);
  const kinds = (Object.keys(INCIDENTS) as IncidentKind[]).filter(
    (kind) => INCIDENTS[kind].variants.includes(variant) && (hasOwnRedis || !kind.endsWith('Redis')),
  );
  const plan: Incident[] = [];
  let deck: IncidentKind[] = [];
  for (let atMs = everyMs; forMs === undefined ? plan.length < (rounds ?? kinds.length) : atMs < forMs; ) {
    if (deck.length === 0) deck = deal(kinds, random, plan.length > 0 ? null : { size: rounds ?? kinds.length });
    const kind = deck.pop() as IncidentKind;
    const [least, most] = INCIDENTS[kind].lastsMs;
    plan.push({ kind, atMs, lastsMs: Math.round(least + random() * (most - least)), dice: random() });
    atMs += Math.round(everyMs * 2 * random());
  }
  return plan;
}

/** The last one is dealt first. In the first deck the deaths come when two thirds of it, or of all that is wanted, are over. */
function deal(
  kinds: readonly IncidentKind[],
  random: () => number,
  first: { readonly size: number } | null,
): IncidentKind[] {
  const deck = shuffle(weighted(kinds), random);
  if (first === null) return deck;
  const isDeath = (kind: IncidentKind) => kind === 'kill the program';
  const others = deck.filter((kind) => !isDeath(kind));
  const at = Math.floor((Math.min(first.size, deck.length) * 2) / 3);
  return [...others.slice(0, at), ...deck.filter(isDeath), ...others.slice(at)].reverse();
}

const weighted = (kinds: readonly IncidentKind[]): IncidentKind[] =>
  kinds.flatMap((kind) => Array.from({ length: INCIDENTS[kind].weight }, () => kind));

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}
