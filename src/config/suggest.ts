/** Insertions, deletions and replacements that turn one name into the other (Levenshtein). */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

/** Returns the known name that was probably meant, or null. Case, `_` and `-` do not count; short names may have one error, longer ones two. */
export function closest(name: string, known: readonly string[]): string | null {
  let best: { candidate: string; distance: number } | null = null;
  for (const candidate of known) {
    const tolerance = candidate.length < 6 ? 1 : 2;
    if (Math.abs(name.length - candidate.length) > tolerance + 4) continue;
    const distance = plain(name) === plain(candidate) ? 0 : editDistance(name, candidate);
    if (distance <= tolerance && distance < (best?.distance ?? Number.POSITIVE_INFINITY))
      best = { candidate, distance };
  }
  return best?.candidate ?? null;
}
