import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { ResponseTooLargeError, UpstreamContractError } from '../errors.ts';

/**
 * Reads an answer's body into text, decoding it on the way. The limit applies to the *decoded* bytes and is checked piece by
 * piece, so a few kilobytes that unpack to gigabytes are stopped at the limit. Whoever stops early destroys the body, and
 * with it the connection: the rest must not stay in a socket that is used again.
 */

/** What we ask for. Deflate is understood but not asked for: servers disagree on what it is. */
export const ACCEPT_ENCODING = 'gzip, br';

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  br: createBrotliDecompress,
  deflate: createInflate,
};

const noop = () => {};

/** @throws ResponseTooLargeError, UpstreamContractError for an encoding we do not know, or what stream and decoder throw. */
export async function readBody(
  body: Readable,
  options: { encoding: string; declaredBytes: number; maxBytes: number; where: string },
): Promise<string> {
  const { maxBytes, where } = options;
  // Declared bytes are encoded ones and so a lower bound in practice; a lie in the other direction is caught below.
  if (options.declaredBytes > maxBytes) {
    discard(body);
    throw tooLarge(maxBytes, where);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  let openings = 0;
  for await (const chunk of decoded(body, options) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes, where);
    openings += countOpenings(chunk);
    if (openings > MOST_OPENINGS) {
      throw new ResponseTooLargeError(`${where} sent millions of values in one answer; ask for fewer rows at a time`);
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks, size).toString('utf8');
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

/**
 * Objects and lists in one answer, counted by their opening bytes, those in texts too. Sixty megabytes of `{},{},…` parse to three gigabytes; the largest
 * real page seen has some thousand.
 */
const MOST_OPENINGS = 1_000_000;

function countOpenings(chunk: Buffer): number {
  let count = 0;
  for (let at = 0; at < chunk.length; at++) if (chunk[at] === 0x7b || chunk[at] === 0x5b) count += 1;
  return count;
}

/** True for the errors of a decoder that was fed rubbish or half a stream. */
export function isDecodeFailure(code: string | null): boolean {
  return code !== null && /^(Z_|ERR__ERROR|ERR_BROTLI)/.test(code);
}

function decoded(body: Readable, options: { encoding: string; declaredBytes: number; where: string }): Readable {
  const encoding = options.encoding.trim().toLowerCase();
  // An empty body is empty in every encoding, but a decoder would call it cut off.
  if (encoding === '' || encoding === 'identity' || options.declaredBytes === 0) return body;
  const createDecoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (createDecoder === undefined) {
    discard(body);
    throw new UpstreamContractError(
      'unknown_encoding',
      `${options.where} answered in a content encoding that was not asked for; check what stands between here and the server`,
    );
  }
  // The loop over the decoder sees every error; the callback only keeps the pipeline from throwing on its own.
  return pipeline(body, createDecoder(), noop);
}

function discard(body: Readable): void {
  body.on('error', noop).destroy();
}

function tooLarge(maxBytes: number, where: string): ResponseTooLargeError {
  const limit = maxBytes >= 2 ** 20 ? `${Math.round(maxBytes / 2 ** 20)} MiB` : `${maxBytes} bytes`;
  return new ResponseTooLargeError(`${where} sent more than ${limit} in one answer; ask for fewer rows at a time`);
}
