import type { Readable, Writable } from 'node:stream';
import * as clack from '@clack/prompts';

/** Somebody pressed Ctrl-C or Escape at a question. */
export class Cancelled extends Error {}

export interface Choice<T> {
  readonly value: T;
  readonly label: string;
  readonly hint?: string;
}

interface TextQuestion {
  readonly message: string;
  readonly initialValue?: string;
  readonly placeholder?: string;
  /** What is wrong with it; undefined when nothing is. */
  readonly validate?: (text: string) => string | undefined;
}

/** Questions and remarks on one terminal. Every question throws `Cancelled`. */
export interface Asker {
  text(question: TextQuestion): Promise<string>;
  /** Shown as dots, also afterwards. */
  secret(question: Omit<TextQuestion, 'initialValue' | 'placeholder'>): Promise<string>;
  choose<T extends string>(message: string, choices: readonly Choice<T>[]): Promise<T>;
  chooseSome(message: string, choices: readonly Choice<string>[], chosen?: readonly string[]): Promise<string[]>;
  confirm(message: string, initialValue?: boolean): Promise<boolean>;
  begin(title: string): void;
  say(kind: 'step' | 'success' | 'warn' | 'error' | 'info', text: string): void;
  end(text: string): void;
  cancel(text: string): void;
}

export interface AskerIo {
  readonly input: Readable;
  readonly output: Writable;
  readonly signal: AbortSignal;
}

export function createAsker({ input, output, signal }: AskerIo): Asker {
  // A signal for each question: a question leaves its listener behind.
  const io = () => ({ input, output, signal: AbortSignal.any([signal]) });
  const answered = async <T>(question: Promise<T | typeof clack.CANCEL_SYMBOL>): Promise<T> => {
    const answer = await question;
    if (clack.isCancel(answer)) throw new Cancelled();
    return answer as T;
  };
  const check =
    ({ validate }: Pick<TextQuestion, 'validate'>) =>
    (text: string | undefined) =>
      text === undefined || text === '' ? 'Please type something, or leave with Ctrl-C.' : validate?.(text);
  const toOptions = (choices: readonly Choice<string>[]) => choices.map((choice) => ({ ...choice }));
  return {
    text: (question) => answered(clack.text({ ...question, ...io(), validate: check(question) })),
    secret: (question) => answered(clack.password({ ...question, ...io(), validate: check(question) })),
    choose: <T extends string>(message: string, choices: readonly Choice<T>[]) =>
      answered(clack.select<string>({ message, options: toOptions(choices), ...io() })) as Promise<T>,
    chooseSome: (message, choices, chosen = []) =>
      answered(
        clack.multiselect<string>({
          message,
          options: toOptions(choices),
          initialValues: [...chosen],
          required: true,
          ...io(),
        }),
      ),
    confirm: (message, initialValue = true) => answered(clack.confirm({ message, initialValue, ...io() })),
    begin: (title) => clack.intro(title, { output }),
    say: (kind, text) => clack.log[kind](text, { output }),
    end: (text) => clack.outro(text, { output }),
    cancel: (text) => clack.cancel(text, { output }),
  };
}
