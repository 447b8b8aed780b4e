/**
 * HMAC-SHA256 of short texts, as `node:crypto` computes it, without the objects that it makes for each: every record of
 * a page has about four marks. With 100,000 erased rows, pages of leads took 16 to 29 % longer with `createHmac` and a
 * binary search, and take 4 to 11 % longer with this and the first bits as an index, measured in turns on a busy machine
 * (`BENCH_WHAT=suppressions npm run bench:history`).
 */

/** Returns the hash as eight numbers, which the next call overwrites. */
export type MarkHash = (text: string) => Int32Array;

const BLOCK = 64;
/** Bytes of a character in UTF-8, at most. */
const WIDEST = 3;
/** Behind a text: a mark of its end, and its length. */
const TAIL = 9;
const END = 0x80;

export function createMarkHash(key: Buffer): MarkHash {
  const begin = (pad: number) => {
    const padded = Buffer.alloc(BLOCK, pad);
    for (const [at, byte] of key.entries()) padded[at] = byte ^ pad;
    take(padded, 0);
    return compress(START.slice());
  };
  const [inner, outer] = [begin(0x36), begin(0x5c)];
  const state = new Int32Array(8);
  let room = Buffer.alloc(4 * BLOCK);
  return (text) => {
    const most = text.length * WIDEST + TAIL + BLOCK;
    if (most > room.length) room = Buffer.alloc(most);
    const length = room.write(text, 0);
    const blocks = Math.ceil((length + TAIL) / BLOCK);
    room.fill(0, length, blocks * BLOCK);
    room[length] = END;
    state.set(inner);
    for (let n = 1; n <= blocks; n += 1) {
      take(room, (n - 1) * BLOCK);
      if (n === blocks) block[15] = (BLOCK + length) * 8;
      compress(state);
    }
    block.set(state);
    block.fill(0, 8, 15);
    block[8] = END << 24;
    block[15] = (BLOCK + 32) * 8;
    state.set(outer);
    return compress(state);
  };
}

/** The first 32 bits behind the point of the roots of the first primes. */
function bitsOfRoots(count: number, root: (prime: number) => number): Int32Array {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n += 1) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return Int32Array.from(primes, (prime) => Math.floor((root(prime) % 1) * 2 ** 32) | 0);
}

const START = bitsOfRoots(8, Math.sqrt);
const ROUND = bitsOfRoots(64, Math.cbrt);
const block = new Int32Array(64);

/** A block as 16 numbers. */
function take(bytes: Buffer, from: number): void {
  for (let i = 0, at = from; i < 16; i += 1, at += 4) {
    block[i] = (byte(bytes, at) << 24) | (byte(bytes, at + 1) << 16) | (byte(bytes, at + 2) << 8) | byte(bytes, at + 3);
  }
}

const byte = (bytes: Buffer, at: number): number => bytes[at] as number;
const at = (all: Int32Array, n: number): number => all[n] as number;

/** Takes the block into the state, as SHA-256 does (FIPS 180-4, 6.2.2). */
function compress(state: Int32Array): Int32Array {
  for (let i = 16; i < 64; i += 1) {
    const x = at(block, i - 15);
    const y = at(block, i - 2);
    const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    block[i] = (high + at(block, i - 7) + low + at(block, i - 16)) | 0;
  }
  let a = at(state, 0);
  let b = at(state, 1);
  let c = at(state, 2);
  let d = at(state, 3);
  let e = at(state, 4);
  let f = at(state, 5);
  let g = at(state, 6);
  let h = at(state, 7);
  for (let i = 0; i < 64; i += 1) {
    const high = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const one = (h + high + ((e & f) ^ (~e & g)) + at(ROUND, i) + at(block, i)) | 0;
    const low = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  state[0] = at(state, 0) + a;
  state[1] = at(state, 1) + b;
  state[2] = at(state, 2) + c;
  state[3] = at(state, 3) + d;
  state[4] = at(state, 4) + e;
  state[5] = at(state, 5) + f;
  state[6] = at(state, 6) + g;
  state[7] = at(state, 7) + h;
  return state;
}
