import type { Wire } from './wire.ts';
import { WireError } from './wire-errors.ts';

const LOOK_MS = 10_000;
/** The connection is closed after so many checks in a row without data. */
const LOOKS = 2;

/**
 * Watches a connection while a statement is under way. Statements may take hours, so no time limit distinguishes a long
 * one from a server, a proxy or a firewall that stopped answering with the connection open: when nothing arrives,
 * `isAtWork` asks by another connection. Given up within half a minute, its statements fail.
 */
export function createAnswerTimeout(wire: Wire, isAtWork: () => Promise<boolean>) {
  let timer: NodeJS.Timeout | undefined;
  let received = 0;
  let idleLooks = 0;

  async function look(): Promise<void> {
    const isIdle = () => wire.bytesRead === received;
    const looks = isIdle() && !(await isAtWork()) && isIdle() ? idleLooks + 1 : 0;
    received = wire.bytesRead;
    // It may have ended meanwhile.
    if (timer === undefined) return;
    idleLooks = looks;
    if (looks >= LOOKS) wire.destroy(new WireError('it stopped answering', { isPassing: true }));
  }

  return {
    begin(): void {
      if (timer !== undefined) return;
      received = wire.bytesRead;
      timer = setInterval(() => void look(), LOOK_MS).unref();
    },
    end(): void {
      clearInterval(timer);
      timer = undefined;
      idleLooks = 0;
    },
  };
}
