import type { Wire } from './wire.ts';
import { WireError } from './wire-errors.ts';

const LOOK_MS = 10_000;
/** The connection is closed after so many checks in a row without data. */
const LOOKS = 2;

/**
 * Watches a connection while a statement is under way. Statements may take hours, so no time limit distinguishes a long one from a server, a proxy or a firewall that
 * that stopped answering with the connection open: when nothing arrives, `isAtWork` asks by another connection. Given up within half a minute, its statements fail.
 */
export class AnswerTimeout {
  readonly #wire: Wire;
  readonly #isAtWork: () => Promise<boolean>;
  #timer: NodeJS.Timeout | undefined;
  #received = 0;
  #idleLooks = 0;

  constructor(wire: Wire, isAtWork: () => Promise<boolean>) {
    this.#wire = wire;
    this.#isAtWork = isAtWork;
  }

  begin(): void {
    if (this.#timer !== undefined) return;
    this.#received = this.#wire.bytesRead;
    this.#timer = setInterval(() => void this.#look(), LOOK_MS).unref();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#idleLooks = 0;
  }

  async #look(): Promise<void> {
    const isIdle = () => this.#wire.bytesRead === this.#received;
    const looks = isIdle() && !(await this.#isAtWork()) && isIdle() ? this.#idleLooks + 1 : 0;
    this.#received = this.#wire.bytesRead;
    // It may have ended meanwhile.
    if (this.#timer === undefined) return;
    this.#idleLooks = looks;
    if (looks >= LOOKS) this.#wire.destroy(new WireError('it stopped answering', { isPassing: true }));
  }
}
