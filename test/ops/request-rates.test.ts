import { expect, it } from '@jest/globals';
import { RequestRates } from '../../src/ops/request-rates.ts';

it('tells requests per minute from what was granted between looks', () => {
  const rates = new RequestRates();
  const at = (seconds: number, requests: number) =>
    rates.note([{ credential: 'a', requests }], seconds * 1_000).get('a');
  expect(at(0, 1_000)).toBeUndefined();
  expect(at(2, 1_010)).toBeUndefined();
  expect(at(10, 1_030)).toBe(180);
  expect(at(40, 1_060)).toBe(90);
  // What is older than a minute is forgotten.
  expect(at(80, 1_060)).toBe(0);
  expect(at(300, 5_000)).toBeUndefined();
  // A count that went back is another one.
  expect(at(320, 10)).toBeUndefined();
  expect(at(331, 32)).toBe(120);
});
