export const count = (value: number | bigint): string => value.toLocaleString('en-US');

/** `1 row`, `1,540 rows`: every number with a noun behind it, so that one is never several. */
export const counted = (value: number | bigint, one: string, many = `${one}s`): string =>
  `${count(value)} ${Number(value) === 1 ? one : many}`;
