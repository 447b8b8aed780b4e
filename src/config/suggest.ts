import { distance as editDistance } from 'fastest-levenshtein';

const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

/** Returns the known name that was probably meant, or null: one error in a short name, two in a longer one. */
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
