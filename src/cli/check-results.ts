import { errorCode, isAbort, LeadmirrorError } from '../errors.ts';
import { databaseError } from '../store/faults.ts';
import type { CommandContext } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { helpLines } from './format.ts';

export interface CheckResult {
  /** `database`, `queue`, `tiledesk:<project>`, `tiledesk:<project> tiledesk.leads`. */
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** Runs one check; what it throws becomes its result, so that the others still run. Returns true when it passed. */
export type Attempt = (name: string, work: () => Promise<string>) => Promise<boolean>;

/** What was checked, in order; shown as it comes, unless one document is wanted. */
export function createCheckList({ print, printJson }: Pick<CommandContext, 'print' | 'printJson'>, json: boolean) {
  const results: CheckResult[] = [];
  const attempt: Attempt = async (name, work) => {
    const result = await work().then((detail) => ({ name, ok: true, detail, error: null }), failureOf(name));
    results.push(result);
    if (!json) print(`${result.ok ? 'ok    ' : 'FAILED'}  ${name}: ${result.error?.message ?? result.detail}`);
    return result.ok;
  };
  return {
    attempt,
    /** `facts` stand before the checks in the document. */
    end(facts: object = {}): ExitCode {
      const ok = results.every((result) => result.ok);
      if (json) printJson({ ok, ...facts, checks: results });
      else for (const line of helpLines(results.map(({ error }) => error?.code))) print(line);
      return ok ? EXIT.done : EXIT.failed;
    },
  };
}

const failureOf =
  (name: string) =>
  (thrown: unknown): CheckResult => {
    if (isAbort(thrown)) throw thrown;
    const error = databaseError(thrown, 'of DATABASE_URL');
    const message = error instanceof Error ? error.message : String(error);
    const isOurs = error instanceof LeadmirrorError;
    const reported = { code: errorCode(error), message: isOurs ? message : `unexpected: ${message}` };
    return { name, ok: false, detail: '', error: reported };
  };
