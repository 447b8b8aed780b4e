import { createAttempt } from '../app/check-connections.ts';
import type { CheckResult } from '../ops/parts.ts';
import type { CommandContext } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { helpLines } from './format.ts';
import { hang, screenOf } from './terminal.ts';

/** What was checked, in order; shown as it comes, unless one document is wanted. */
export function createCheckList({ proc, print, printResult }: CommandContext) {
  const results: CheckResult[] = [];
  /** `head` is eight characters wide. */
  const show = (head: string, text: string): void => {
    for (const line of hang(head, text, screenOf(proc.stdout).width)) print(line);
  };
  const attempt = createAttempt((result) => {
    results.push(result);
    show(result.ok ? 'ok      ' : 'FAILED  ', `${result.name}: ${result.error?.message ?? result.detail}`);
  });
  return {
    attempt,
    show,
    end(facts: object = {}): ExitCode {
      const ok = results.every((result) => result.ok);
      printResult({ ok, ...facts, checks: results }, () => helpLines(results.map(({ error }) => error?.code)));
      return ok ? EXIT.done : EXIT.failed;
    },
  };
}
