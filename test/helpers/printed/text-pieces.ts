import { StringDecoder } from 'node:string_decoder';

const MOST_CHARACTERS = 1_000_000;
/** Longer than any secret or address that is looked for. */
const OVERLAP = 1_000;

/** Puts the chunks of a stream together, so that nothing to be found is cut in two, and holds one million characters at most. */
export class TextPieces {
  readonly #decoder = new StringDecoder('utf8');
  readonly #give: (text: string) => void;
  #text = '';

  constructor(give: (text: string) => void) {
    this.#give = give;
  }

  /** Anything but text and bytes, such as the callback of an empty `end`, is nothing. */
  add(chunk: unknown): void {
    if (typeof chunk === 'string') this.#text += chunk;
    else if (chunk instanceof Uint8Array)
      this.#text += this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (this.#text.length < MOST_CHARACTERS) return;
    this.#give(this.#text);
    this.#text = this.#text.slice(-OVERLAP);
  }

  end(): void {
    if (this.#text !== '') this.#give(this.#text);
    this.#text = '';
  }
}
