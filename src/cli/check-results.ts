import { type CheckResult, createAttempt } from '../app/check-connections.ts';
import type { CommandContext } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { helpLines } from './format.ts';

/** What was checked, in order; shown as it comes, unless one document is wanted. */
export function createCheckList({ print, printJson }: Pick<CommandContext, 'print' | 'printJson'>, json: boolean) {
  const results: CheckResult[] = [];
  const attempt = createAttempt((result) => {
    results.push(result);
    if (!json) {
      print(`${result.ok ? 'ok    ' : 'FAILED'}  ${result.name}: ${result.error?.message ?? result.detail}`);
    }
  });
  return {
    attempt,
    end(facts: object = {}): ExitCode {
      const ok = results.every((result) => result.ok);
      if (json) printJson({ ok, ...facts, checks: results });
      else for (const line of helpLines(results.map(({ error }) => error?.code))) print(line);
      return ok ? EXIT.done : EXIT.failed;
    },
  };
}
