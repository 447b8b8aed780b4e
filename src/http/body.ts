import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { ResponseTooLargeError, UpstreamContractError } from '../errors.ts';

/** The limit is for the *decoded* bytes: a few kilobytes may unpack to gigabytes. */

/** What we ask for. Deflate is understood but not asked for: servers disagree on what it is. */
export const ACCEPT_ENCODING = 'gzip, br';

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  br: createBrotliDecompress,
  deflate: createInflate,
};

const noop = () => {};

/** @throws ResponseTooLargeError, UpstreamContractError for an unknown encoding, or what stream and decoder throw */
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
  const countValues = createValueCounter();
  for await (const chunk of decoded(body, options) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes, where);
    if (countValues(chunk) > MOST_VALUES) {
      throw new ResponseTooLargeError(`${where} sent millions of values in one answer; ask for fewer rows at a time`);
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks, size).toString('utf8');
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

/** Sixty megabytes of `{},{},…` parse to three gigabytes. Enough for 50,000 members of 31 values (server 2.19). */
const MOST_VALUES = 50_000 * 32;

/** Counts the values of a JSON text that comes in pieces: commas and opening brackets (`,{[`) outside of strings. */
function createValueCounter(): (chunk: Buffer) => number {
  let count = 0;
  let isInString = false;
  let isEscaped = false;
  return (chunk) => {
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (isEscaped) isEscaped = false;
      else if (byte === 0x22) isInString = !isInString;
      else if (isInString) isEscaped = byte === 0x5c;
      else if (byte === 0x2c || byte === 0x7b || byte === 0x5b) count += 1;
    }
    return count;
  };
}

/** True for the errors of a decoder that was fed rubbish or half a stream. */
export function isDecodeFailure(code: string | null): boolean {
  return code !== null && /^(Z_|ERR__ERROR|ERR_BROTLI)/.test(code);
}

function decoded(body: Readable, options: { encoding: string; declaredBytes: number; where: string }): Readable {
  // A proxy that adds the header once more has not packed the body once more.
  const names = options.encoding.toLowerCase().split(',');
  const encodings = new Set(names.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity'));
  const [encoding = '', ...others] = encodings;
  // An empty body is empty in every encoding, but a decoder would call it cut off.
  if (encoding === '' || options.declaredBytes === 0) return body;
  const createDecoder = others.length === 0 && Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
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
