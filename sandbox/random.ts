/** A small seeded generator (mulberry32): the same seed gives the same sandbox on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A float in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<const T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new Error('pick() needs at least one choice');
    return choices[Math.floor(this.next() * choices.length)] as T;
  }

  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let draw = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, choice] of choices) {
      draw -= weight;
      if (draw < 0) return choice;
    }
    throw new Error('weighted() needs at least one choice');
  }

  /** One of those that are there, now and then from the newest tenth: recent rows change more often than old ones. */
  pickRecent<T>(items: Iterable<T>): T | undefined {
    const all = [...items];
    const share = this.chance(0.5) ? 1 - this.next() ** 2 * 0.1 : this.next();
    return all[Math.min(all.length - 1, Math.floor(share * all.length))];
  }

  hex(digits: number): string {
    let text = '';
    while (text.length < digits) {
      text += Math.floor(this.next() * 0x100000000)
        .toString(16)
        .padStart(8, '0');
    }
    return text.slice(0, digits);
  }

  uuid(): string {
    const hex = this.hex(32);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
  }

  /** Ascending whole moments between two. */
  moments(count: number, from: number, to: number): number[] {
    return Array.from({ length: count }, () => Math.floor(from + this.next() * (to - from))).sort((a, b) => a - b);
  }

  shuffled<T>(items: readonly T[]): T[] {
    const copy = [...items];
    for (let last = copy.length - 1; last > 0; last--) {
      const other = this.int(0, last);
      [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
    }
    return copy;
  }
}

/** Times of which some are the same as the one before. */
export function tied(times: readonly number[], isTied: (index: number) => boolean): readonly number[] {
  const all = [...times];
  for (const [index, at] of all.entries()) if (isTied(index)) all[index] = all[index - 1] ?? at;
  return all;
}
