/** Divides cases that take long: `npm test` runs every n-th of them, so that a break is seen soon, and `npm run test:all` runs the others. */
export function shareCases<T>(
  cases: readonly T[],
  every: number,
): { readonly some: readonly T[]; readonly others: readonly T[] } {
  const isShort = (index: number) => index % every === 0;
  return { some: cases.filter((_, index) => isShort(index)), others: cases.filter((_, index) => !isShort(index)) };
}
