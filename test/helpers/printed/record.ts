import { channel } from 'node:diagnostics_channel';

/**
 * What the runs of the tests say is written down below this directory and searched when the last test has ended. Where it is absent, as in a
 * benchmark, nothing is written down.
 */
export const SAID_DIRECTORY_VARIABLE = 'LEADMIRROR_TEST_SAID';

export type Kind = 'command' | 'output' | 'log' | 'answer' | 'message';

/** One thing that was said. */
export interface Said {
  /**
   * `command`: the words that a child process is started with, which other accounts of a machine can read; its `output`; `log` line of this process;
   * HTTP `answer`; `message` to somebody: an alert, a trace, a dialogue at a terminal.
   */
  readonly kind: Kind;
  /** The command, or method and path. */
  readonly what: string;
  readonly text: string;
}

/** A text that nobody may say from now on. */
export interface Secret {
  readonly name: string;
  readonly value: string;
}

/** Channels, because helpers are loaded anew by each test file, apart from the recorder that listens. Nobody listens outside of Jest. */
export const saidChannel = channel('leadmirror.tests.said');
export const secretChannel = channel('leadmirror.tests.secret');

export const erasedChannel = channel('leadmirror.tests.erased');

/** Texts of a person who is erased: nothing of this test file may print them from now on, whatever may print living people. */
export function declareErased(texts: readonly string[]): void {
  if (!erasedChannel.hasSubscribers) return;
  for (const value of texts) erasedChannel.publish({ name: 'erased', value } satisfies Secret);
}

/** For what the recorder cannot see by itself. */
export function record(said: Said): void {
  if (saidChannel.hasSubscribers) saidChannel.publish(said);
}

const SECRET_NAME = /(PASSWORD|TOKEN|SECRET|SECRET_KEY)$/;
/** Shorter ones, or plain words as tests have for what is refused unread, are found in any text. */
const SECRET_VALUE = /^(?=.{10,})(?=.*[^a-z]).*$/i;

/** Declares the secrets of an environment: values of the variables that hold one, and passwords within addresses. */
export function declareSecrets(env: Readonly<Record<string, string | undefined>>): void {
  if (!secretChannel.hasSubscribers) return;
  for (const [name, text = ''] of Object.entries(env)) {
    const value = SECRET_NAME.test(name) ? text.replace(/^JWT /, '') : (/:\/\/[^/@]*:([^/@]+)@/.exec(text)?.[1] ?? '');
    if (SECRET_VALUE.test(value)) secretChannel.publish({ name, value } satisfies Secret);
  }
}
