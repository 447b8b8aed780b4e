import { clearLine, cursorTo, moveCursor } from 'node:readline';
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { record } from './printed/record.ts';

/** A stream that says it is a terminal, keeps what is written, and, read from, gives the keys that are typed. */
export class FakeTerminal extends PassThrough {
  readonly isTTY = true;
  columns: number;
  rows: number;
  isRaw = false;
  /** All that was written, escape codes included. */
  written = '';

  constructor({ columns = 80, rows = 24 } = {}) {
    super();
    this.columns = columns;
    this.rows = rows;
  }

  override write(chunk: unknown): boolean {
    this.written += String(chunk);
    this.emit('written');
    record({ kind: 'message', what: 'terminal', text: stripVTControlCharacters(String(chunk)) });
    return true;
  }

  /** What was written without escape codes. */
  get text(): string {
    return stripVTControlCharacters(this.written);
  }

  cursorTo(x: number): boolean {
    return cursorTo(this, x);
  }

  moveCursor(x: number, y: number): boolean {
    return moveCursor(this, x, y);
  }

  clearLine(direction: -1 | 0 | 1): boolean {
    return clearLine(this, direction);
  }

  getColorDepth(): number {
    return 8;
  }

  hasColors(): boolean {
    return true;
  }
}

/** Takes the variables away by which programs know that nobody watches; returns the way to put them back. */
export function pretendTerminal(): () => void {
  const { CI, TERM } = process.env;
  delete process.env.CI;
  process.env.TERM = 'xterm-256color';
  return () => {
    if (CI !== undefined) process.env.CI = CI;
    if (TERM === undefined) delete process.env.TERM;
    else process.env.TERM = TERM;
  };
}
