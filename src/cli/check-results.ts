import { createAttempt } from '../app/check-connections.ts';
import type { CheckResult } from '../ops/parts.ts';
import type { CommandContext } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { helpLines } from './format.ts';

/** What was checked, in order; shown as it comes, unless one document is wanted. */
export function createCheckList({ print, printResult }: Pick<CommandContext, 'print' | 'printResult'>) {
  const results: CheckResult[] = [];
  const attempt = createAttempt((result) => {
    results.push(result);
    print(`${result.ok ? 'ok    ' : 'FAILED'}  ${result.name}: ${result.error?.message ?? result.detail}`);
  });
  return {
    attempt,
    end(facts: object = {}): ExitCode {
      const ok = results.every((result) => result.ok);
      printResult({ ok, ...facts, checks: results }, () => helpLines(results.map(({ error }) => error?.code)));
      return ok ? EXIT.done : EXIT.failed;
    },
  };
}
