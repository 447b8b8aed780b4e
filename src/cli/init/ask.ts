import type { Readable, Writable } from 'node:stream';
import * as clack from '@clack/prompts';

/** Ctrl-C or Escape was pressed at a question. */
export class Cancelled extends Error {}

interface Choice<T> {
  readonly value: T;
  readonly label: string;
  readonly hint?: string;
}

interface TextQuestion {
  readonly message: string;
  readonly initialValue?: string;
  readonly placeholder?: string;
  readonly validate?: (text: string) => string | undefined;
}

export type Asker = ReturnType<typeof createAsker>;

/** Questions and remarks on one terminal. Every question throws `Cancelled`. */
export function createAsker({ input, output, signal }: { input: Readable; output: Writable; signal: AbortSignal }) {
  // A signal for each question: a question leaves its listener behind.
  const io = () => ({ input, output, signal: AbortSignal.any([signal]) });
  const answered = async <T>(question: Promise<T | typeof clack.CANCEL_SYMBOL>): Promise<T> => {
    const answer = await question;
    if (clack.isCancel(answer)) throw new Cancelled();
    return answer as T;
  };
  const complete = ({ validate, ...question }: TextQuestion) => ({
    ...question,
    ...io(),
    validate: (text: string | undefined) =>
      text === undefined || text === '' ? 'Please type something, or leave with Ctrl-C.' : validate?.(text),
  });
  const toOptions = (choices: readonly Choice<string>[]) => choices.map((choice) => ({ ...choice }));
  return {
    text: (question: TextQuestion) => answered(clack.text(complete(question))),
    secret: (question: TextQuestion) => answered(clack.password(complete(question))),
    choose: <T extends string>(message: string, choices: readonly Choice<T>[]) =>
      answered(clack.select<string>({ message, options: toOptions(choices), ...io() })) as Promise<T>,
    /** Also none, unless something is required. */
    chooseSome: (
      message: string,
      choices: readonly Choice<string>[],
      { initialValues = [] as string[], required = true } = {},
    ) =>
      answered(clack.multiselect<string>({ message, options: toOptions(choices), initialValues, required, ...io() })),
    confirm: (message: string) => answered(clack.confirm({ message, initialValue: true, ...io() })),
    begin: (title: string) => clack.intro(title, { output }),
    print: (kind: 'step' | 'success' | 'warn' | 'error' | 'info', text: string) => clack.log[kind](text, { output }),
    end: (text: string) => clack.outro(text, { output }),
    cancel: (text: string) => clack.cancel(text, { output }),
  };
}
