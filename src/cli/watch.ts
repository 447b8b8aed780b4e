import { setTimeout as delay } from 'node:timers/promises';
import { counted } from '../counted.ts';
import { DatabaseError } from '../errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type Output, type Screen, screenOf } from './terminal.ts';

export type View = (screen: Screen) => string[];

/** Another screen than the one with the shell's lines, without a cursor and without wrapping, and back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const ERASE_TO_LINE_END = '\x1b[K';
const ERASE_BELOW = '\x1b[J';

/** Shows what `look` returns until Ctrl-C: on a terminal in one frame, elsewhere below. Survives a lost database. */
export async function watch(
  look: () => Promise<View>,
  { output, intervalMs, signal }: { output: Output; intervalMs: number; signal: AbortSignal },
): Promise<ExitCode> {
  const unread = new AbortController();
  // The reader (`| head`) may stop early.
  const onError = () => unread.abort();
  const over = AbortSignal.any([signal, unread.signal]);
  const { isLive } = screenOf(output);
  const frame = isLive ? createFrame(output) : createLog(output);
  let view: View = () => [];
  const redraw = () => frame.show(view(screenOf(output)));
  output.on('error', onError).on('resize', redraw);
  try {
    while (!over.aborted) {
      view = await look().catch((error: unknown): View => {
        if (!(error instanceof DatabaseError)) throw error;
        const last = view;
        const trouble = `${error.message} Trying again every ${intervalMs / 1000} s.`;
        return isLive ? (screen) => [trouble, '', ...last(screen)] : () => [trouble];
      });
      if (over.aborted) break;
      redraw();
      await delay(intervalMs, undefined, { signal: over }).catch(() => {});
    }
    return signal.aborted ? EXIT.stoppedBySignal : EXIT.done;
  } finally {
    output.off('resize', redraw);
    frame.close();
    output.off('error', onError);
  }
}

interface Frame {
  show(lines: readonly string[]): void;
  close(): void;
}

function createFrame(output: Output): Frame {
  // Also where the process is ended at once, by a second Ctrl-C.
  const leave = () => void output.write(LEAVE);
  process.once('exit', leave);
  output.write(ENTER);
  return {
    show(lines) {
      const { height } = screenOf(output);
      const more = lines.length - height;
      const shown =
        more > 0 ? [...lines.slice(0, height - 1), `… ${counted(more + 1, 'more line')}, without --watch`] : lines;
      // Written over what is there, in one go: nothing flickers.
      output.write(HOME + shown.map((line) => `${line}${ERASE_TO_LINE_END}`).join('\r\n') + ERASE_BELOW);
    },
    close() {
      process.off('exit', leave);
      leave();
    },
  };
}

function createLog(output: Output): Frame {
  return {
    show: (lines) => void output.write(`${new Date().toISOString()}\n${lines.join('\n')}\n\n`),
    close: () => {},
  };
}
