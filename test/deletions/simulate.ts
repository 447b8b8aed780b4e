import { Random } from '../../sandbox/random.ts';
import type { FaultKind } from '../../sandbox/tiledesk.ts';
import { acceptDeletions } from '../../src/store/engine/deletions.ts';
import type { Outcome, Pass } from '../../src/stream.ts';
import type { RunResult } from '../../src/sync/run-pass.ts';
import { openTiledesk } from './tiledesk-world.ts';
import { openTilkee } from './tilkee-world.ts';
import { type ChangeKind, type Ground, pickWeighted, type World } from './world.ts';

/**
 * One seed: an upstream that changes before and while it is read, and whose answers are spoilt; the program's own passes over it; and after every pass the
 * question whether a row that is there was called deleted. At the end nothing disturbs any more, and the mirror has to be what the upstream is.
 */
export interface SeedReport {
  readonly seed: number;
  readonly source: World['source'];
  readonly changes: Readonly<Record<ChangeKind, number>>;
  /** Answers that were spoilt. */
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  /** `incremental succeeded`, with how it ended where it says more: `reconcile partial deletion_brake`. */
  readonly passes: Readonly<Record<string, number>>;
  readonly requests: number;
  /** Rows that are gone upstream, and marked so. */
  readonly found: number;
  readonly falseDeletions: readonly string[];
  readonly missedDeletions: readonly string[];
  /** Rows that the upstream lists, and the mirror does not hold as they are. */
  readonly lost: readonly string[];
  /** Whatever else was not as it must be. */
  readonly problems: readonly string[];
}

export const isWell = ({ falseDeletions, missedDeletions, lost, problems }: SeedReport): boolean =>
  falseDeletions.length + missedDeletions.length + lost.length + problems.length === 0;

export async function simulate(
  ground: Ground,
  seed: number,
  say: (line: string) => void = () => {},
): Promise<SeedReport> {
  const random = new Random(Math.imul(seed, 0x9e3779b1));
  // The first draws of neighbouring seeds resemble each other.
  for (let i = 0; i < 8; i++) random.next();
  const world = random.chance(0.7) ? await openTiledesk(ground, random) : await openTilkee(ground, random);
  try {
    const simulation = new Simulation(seed, { world, random, say });
    await simulation.play();
    return await simulation.report();
  } finally {
    await world.close();
  }
}

const KINDS = ['500', 'empty-list', 'truncated-page'] as const satisfies readonly FaultKind[];
/** So often is the first full read disturbed before it is left alone. */
const DISTURBED_READS = 5;
/** Full syncs of an undisturbed upstream; one may finish what was left half done, one may be held by the brake. */
const CALM_TRIES = 4;

class Simulation {
  readonly #seed: number;
  readonly #world: World;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  readonly #rate: number;
  readonly #kinds: readonly (typeof KINDS)[number][];
  readonly #changes: Record<ChangeKind, number> = {
    ...{ inserts: 0, edits: 0, 'status changes': 0, 'soft deletes': 0, 'hard deletes': 0 },
  };
  readonly #passes: Record<string, number> = {};
  /** Where upstream and call log stood when a stream's full sync began; it may take several passes. */
  readonly #walkBegan = new Map<string, { readonly changed: number; readonly calls: number }>();
  readonly #false = new Set<string>();
  readonly #missed = new Set<string>();
  readonly #lost: string[] = [];
  readonly #problems: string[] = [];
  #changed = 0;
  #found = 0;

  constructor(seed: number, { world, random, say }: { world: World; random: Random; say: (line: string) => void }) {
    this.#seed = seed;
    this.#world = world;
    this.#random = random;
    this.#say = say;
    this.#rate = random.pick([0.01, 0.03, 0.06, 0.1, 0.2, 0.3]);
    const kinds = KINDS.filter(() => random.chance(0.7));
    this.#kinds = kinds.length === 0 ? KINDS : kinds;
    say(`seed ${seed}: ${world.source}, faults at ${this.#rate}: ${this.#kinds.join(', ')}`);
  }

  async play(): Promise<void> {
    for (const stream of this.#world.streams) await this.#readFirst(stream);
    const rounds = this.#random.int(3, 6);
    for (let round = 1; round <= rounds; round++) await this.#playRound();
    this.#calm();
    for (const stream of this.#world.streams) await this.#settle(stream);
    for (const stream of this.#world.streams) await this.#compare(stream);
  }

  async report(): Promise<SeedReport> {
    const { log, source } = this.#world;
    const faults: Partial<Record<FaultKind, number>> = {};
    for (const { fault } of log) {
      if (fault !== undefined) faults[fault as FaultKind] = (faults[fault as FaultKind] ?? 0) + 1;
    }
    return {
      ...{ seed: this.#seed, source, changes: this.#changes, faults, passes: this.#passes },
      requests: log.length,
      found: this.#found,
      falseDeletions: [...this.#false],
      missedDeletions: [...this.#missed],
      lost: this.#lost,
      problems: this.#problems,
    };
  }

  async #readFirst(stream: string): Promise<void> {
    for (let attempt = 1; attempt <= DISTURBED_READS + CALM_TRIES; attempt++) {
      if (attempt <= DISTURBED_READS) this.#disturb();
      else this.#calm();
      const { outcome } = await this.#run(stream, 'backfill');
      if (outcome === 'succeeded') return;
    }
    this.#problems.push(`the first full read of ${stream} does not end`);
  }

  async #playRound(): Promise<void> {
    const random = this.#random;
    this.#world.passTime(random.pick([5, 900, 40_000, 700_000, 26 * 3_600_000]));
    for (let left = random.int(0, 12); left > 0; left--) this.#changeSomething();
    for (const stream of random.shuffled(this.#world.streams)) {
      if (random.chance(0.15)) continue;
      this.#disturb();
      const result = await this.#run(stream, this.#pickPass(stream));
      if (result.error?.code === 'deletion_brake' && random.chance(0.4)) await this.#acceptWhatIsTrue(result);
    }
  }

  #pickPass(stream: string): Pass {
    const [random, isCounted] = [this.#random, this.#world.counted.includes(stream)];
    if (isCounted && random.chance(0.4)) return 'count';
    return random.chance(0.4) ? 'reconcile' : 'incremental';
  }

  #changeSomething(): void {
    const [kind, rows] = this.#world.change(this.#random);
    this.#changes[kind] += rows;
    this.#changed += 1;
  }

  #calm(): void {
    this.#world.faults.clear();
    this.#world.passTime(0);
  }

  /** What the next pass will meet. */
  #disturb(): void {
    const random = this.#random;
    const { faults } = this.#world;
    this.#calm();
    const times = Number.POSITIVE_INFINITY;
    const trouble = pickWeighted(random, TROUBLES);
    if (trouble === 'chance' || trouble === 'by id') {
      faults.random({ rate: this.#rate, kinds: this.#kinds, seed: random.int(1, 1_000_000_000) });
    }
    if (trouble === 'empty') faults.push({ kind: 'empty-list', match: ({ list }) => this.#world.isList(list), times });
    if (trouble === 'by id') faults.push({ kind: '500', match: ({ list }) => this.#world.isById(list), times });
    if (trouble === 'outage') {
      const from = random.int(0, 12);
      let calls = 0;
      faults.push({ kind: '500', match: () => ++calls > from, times });
    }
    if (random.chance(0.3)) this.#falsifyCounts(random.pick(['lag', 'lie', 'less', 'nothing'] as const));
    const share = random.chance(0.5) ? random.pick([0.1, 0.3, 0.8]) : 0;
    // A reader is never outrun for ever: no list of this size changes with every page for long.
    let left = random.int(0, 12);
    const interfere = () => {
      this.#world.passTime(random.int(0, 400));
      while (left > 0 && random.chance(share)) {
        left -= 1;
        this.#changeSomething();
      }
    };
    faults.beforeAnswer = interfere;
    faults.afterAnswer = interfere;
    this.#say(`  ${trouble}, changes meanwhile ${share}`);
  }

  /** Only the answers to count checks: what the lists themselves report is another story, and told by the faults. */
  #falsifyCounts(how: 'lag' | 'lie' | 'less' | 'nothing'): void {
    const random = this.#random;
    const before = new Map<string, number>();
    const offset = random.int(-3, 3);
    this.#say(`  counts: ${how}`);
    this.#world.faults.reportCount = (count, { query }) => {
      const isCheck =
        query.get('limit') === '1' &&
        (query.get('sort') === 'updatedAt' || !/\/(1970|1971|2100|2101) /.test(`${query.get('end_date_time')} `));
      if (!isCheck || query.get('sort') === '_id') return count;
      const name = [...query.getAll('status'), query.get('start_date_time'), query.get('end_date_time')].join(' ');
      const last = before.get(name) ?? count;
      before.set(name, count);
      if (how === 'lag') return last;
      if (how === 'lie') return Math.max(0, count + offset);
      return how === 'less' ? Math.floor(count * 0.9) : 0;
    };
  }

  async #run(stream: string, pass: Pass): Promise<RunResult> {
    const { mirror } = this.#world;
    if (pass !== 'incremental' && !(await this.#isHalfDone(stream))) {
      this.#walkBegan.set(stream, { changed: this.#changed, calls: this.#world.log.length });
    }
    const result = await mirror.run(stream, pass);
    const { outcome, error, deleted } = result;
    const name = [pass, result.pass === pass ? '' : result.pass, outcome, error?.code ?? '']
      .filter((part) => part !== '')
      .join(' ');
    this.#passes[name] = (this.#passes[name] ?? 0) + 1;
    this.#say(`    ${stream} ${name}, ${deleted} deleted${error === null ? '' : `: ${error.message}`}`);
    await this.#inspect(stream, result);
    return result;
  }

  async #isHalfDone(stream: string): Promise<boolean> {
    const sql = `select from sync.checkpoints where stream = $1 and pass = 'reconcile' and cursor is not null`;
    return (await this.#world.mirror.query(sql, [stream])).length > 0;
  }

  async #inspect(stream: string, { pass, outcome, error, deleted }: RunResult): Promise<void> {
    const states = await this.#world.states(stream);
    for (const { id, isMarked } of states) {
      if (isMarked && this.#world.isThere(stream, id)) this.#false.add(`${stream} ${id}`);
    }
    if (error?.code === 'bug' || error?.code === 'deletions_unconfirmed') {
      this.#problems.push(`${stream} ${pass}: ${error.code}, ${error.message}`);
    }
    const isHeld = error?.code === 'deletion_brake' || error?.code === 'suddenly_empty';
    if (isHeld && deleted > 0) this.#problems.push(`${stream} ${pass}: ${error.code}, and ${deleted} were marked`);
    if (pass === 'reconcile' && outcome === 'succeeded' && this.#sawAll(stream)) {
      for (const line of await this.#differences(stream)) this.#problems.push(`after a full sync: ${line}`);
    }
  }

  /** Nothing changed since the walk began, and no answer was wrong in a way that nobody could have noticed. */
  #sawAll(stream: string): boolean {
    const { log } = this.#world;
    const began = this.#walkBegan.get(stream) ?? { changed: -1, calls: 0 };
    return (
      began.changed === this.#changed && !log.slice(began.calls).some((entry) => this.#world.isPlausibleLie(entry))
    );
  }

  async #differences(stream: string): Promise<string[]> {
    const { missing, extra, different } = await this.#world.compare(stream);
    return [
      ...missing.map((id) => `${stream} ${id} is missing`),
      ...extra.map((id) => `${stream} ${id} is gone upstream and alive in the mirror`),
      ...different.map((what) => `${stream} ${what} differs`),
    ];
  }

  /** A person looks at the upstream, and agrees where every row that is held back is really gone. */
  async #acceptWhatIsTrue({ stream, connection, error }: RunResult): Promise<void> {
    const gone = await this.#goneButAlive(stream);
    if (error?.message.startsWith(`${gone} of `) !== true) return;
    this.#say(`    accepted: ${gone} of ${stream}`);
    const held = await acceptDeletions(this.#world.mirror.app.database.prisma, { connectionId: connection, stream });
    if (held === null) this.#problems.push(`${stream}: the brake holds, and there is nothing to accept`);
  }

  async #goneButAlive(stream: string): Promise<number> {
    const states = await this.#world.states(stream);
    return states.filter(({ id, isGone }) => !isGone && !this.#world.isThere(stream, id)).length;
  }

  /** Nothing disturbs: one incremental pass, and full syncs until one began and ended. */
  async #settle(stream: string): Promise<void> {
    const { isIncrementalWeak } = this.#world;
    const incremental = await this.#run(stream, 'incremental');
    const isWeak = isIncrementalWeak && incremental.error?.code === 'walk_gave_up';
    if (incremental.outcome !== 'succeeded' && !isWeak) this.#problem(incremental, 'undisturbed');
    if (this.#world.counted.includes(stream)) await this.#count(stream);
    for (let tries = 0; tries < CALM_TRIES; tries++) {
      const isNew = !(await this.#isHalfDone(stream));
      const before = await this.#vanishing(stream);
      const isAccepted = await this.#isAccepted(stream);
      const result = await this.#run(stream, 'reconcile');
      const isHeld = result.error?.code === 'deletion_brake';
      const mustHold = await this.#mustHold(result, before);
      if (isNew && isHeld !== (mustHold && !isAccepted)) this.#problem(result, isHeld ? 'brakes' : 'does not brake');
      if (isHeld) await this.#acceptWhatIsTrue(result);
      else if (result.outcome !== 'succeeded') this.#problem(result, 'undisturbed');
      else if (isNew) return;
    }
    this.#problems.push(`${stream}: no full sync came to its end`);
  }

  /** Nothing moves and every count is right: where they agree, nothing is gone. */
  async #count(stream: string): Promise<void> {
    const { pass, outcome } = await this.#run(stream, 'count');
    if (pass !== 'count' || outcome !== 'succeeded') return;
    const gone = await this.#goneButAlive(stream);
    if (gone > 0) this.#problems.push(`${stream}: the counts agree, and ${gone} rows are gone`);
  }

  /** What the next full sync will miss, and what was marked so far. */
  async #vanishing(stream: string): Promise<{ readonly gone: number; readonly deleted: number }> {
    const sql = 'select coalesce(sum(deleted), 0)::int as deleted from sync.runs where stream = $1';
    const [runs] = await this.#world.mirror.query<{ deleted: number }>(sql, [stream]);
    return { gone: await this.#goneButAlive(stream), deleted: runs?.deleted ?? 0 };
  }

  /** The rule of the brake, counted by hand. Rows that are new to the walk count among those alive: it judges when it has read everything. */
  async #mustHold(
    { stream, deleted: marked }: RunResult,
    { gone, deleted }: { readonly gone: number; readonly deleted: number },
  ): Promise<boolean> {
    const alive = (await this.#world.states(stream)).filter(({ isGone }) => !isGone).length + marked;
    return gone > 0 && gone + deleted > 3 && gone + deleted > (alive + deleted) * 0.1;
  }

  async #isAccepted(stream: string): Promise<boolean> {
    const sql = 'select from sync.streams where stream = $1 and deletions_accepted_at is not null';
    return (await this.#world.mirror.query(sql, [stream])).length > 0;
  }

  #problem({ stream, pass, outcome, error }: RunResult, what: string): void {
    this.#problems.push(`${stream} ${pass} ${what}: ${outcome satisfies Outcome} ${error?.code} ${error?.message}`);
  }

  async #compare(stream: string): Promise<void> {
    const { missing, extra, different } = await this.#world.compare(stream);
    this.#lost.push(...[...missing, ...different].map((what) => `${stream} ${what}`));
    for (const id of extra) this.#missed.add(`${stream} ${id}`);
    const states = await this.#world.states(stream);
    this.#found += states.filter(({ isMarked }) => isMarked).length;
    for (const { id, isGone } of states) {
      if (!isGone && !this.#world.isThere(stream, id)) this.#missed.add(`${stream} ${id}`);
    }
  }
}

const TROUBLES = [
  [20, 'none'],
  [55, 'chance'],
  [8, 'empty'],
  [10, 'by id'],
  [7, 'outage'],
] as const;
