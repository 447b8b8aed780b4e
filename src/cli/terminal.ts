import { styleText } from 'node:util';
import isInteractive from 'is-interactive';

type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

export type Screen = ReturnType<typeof screenOf>;
export type Output = NodeJS.WritableStream & Partial<Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows'>>;

/** The output for human-readable text, as it is now. A terminal without a known size counts as 80 by 24. */
export function screenOf(stream: Output) {
  const isTerminal = stream.isTTY === true;
  // Node decides about colours. One style after the other: of several, Node 20 does not ask the stream.
  const paint: Paint = (style, text) =>
    [style].flat().reduce((painted, one) => styleText(one, painted, { stream }), text);
  return {
    /** Characters in a line; Infinity off a terminal, where nothing is shortened or wrapped. */
    width: isTerminal ? Math.max(20, stream.columns || 80) : Number.POSITIVE_INFINITY,
    height: isTerminal ? Math.max(5, stream.rows || 24) : Number.POSITIVE_INFINITY,
    /** True where text that was written can be replaced: on a terminal that is not TERM=dumb, and not in CI. */
    isLive: isInteractive({ stream: stream as NodeJS.WriteStream }),
    paint,
  };
}

/** Text behind a head, further lines below its beginning; off a terminal one line. */
export function hang(head: string, text: string, width: number): string[] {
  if (!Number.isFinite(width)) return [head + text];
  const [first = '', ...rest] = wrap(text, width, ' '.repeat(head.length));
  return [head + first.trimStart(), ...rest];
}

/** Breaks at spaces; a part longer than the line stays whole, so that it can be copied. */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const part of text.split(/\s+/).filter(Boolean)) {
    if (line !== '' && indent.length + line.length + 1 + part.length > width) {
      lines.push(indent + line);
      line = part;
    } else line = line === '' ? part : `${line} ${part}`;
  }
  return line === '' ? lines : [...lines, indent + line];
}
