import { type Verified, type VerifyOnceOptions, verifySelected } from '../app/verify-streams.ts';
import { type Finding, type FindingKind, NOT_COMPARED } from '../sync/verify.ts';
import { type CommandProcess, runOnApp, type StreamOptions } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { counted, formatCount, formatSeconds, helpLines } from './format.ts';
import { selectStreams } from './selection.ts';

type VerifyOptions = StreamOptions & Omit<VerifyOnceOptions, 'signal'>;

/** Compares mirror and upstream, stream by stream; lists what differs, and repairs just that when asked to. */
export async function verify(names: readonly string[], options: VerifyOptions, proc: CommandProcess): Promise<void> {
  await runOnApp({ json: options.json, proc }, async (app, { signal, print, printResult }) => {
    const results: Verified[] = [];
    for (const selected of selectStreams(app.connections, names, options.connection)) {
      if (signal.aborted) break;
      const result = await verifySelected(app, selected, { ...options, signal });
      results.push(result);
      for (const line of describe(result)) print(line);
    }
    const help = helpLines(results.map(({ error }) => error?.code));
    printResult({ streams: results.map(toJson) }, () => help);
    return exitCodeOf(results, options, signal);
  });
}

/** `--json` has all. */
const SHOWN = 50;

const MEANING: Readonly<Record<FindingKind, string>> = {
  missing: 'missing in the mirror',
  stale: 'older in the mirror',
  different: 'different in the mirror',
  extra: 'not in the upstream any more',
};

function describe(result: Verified): string[] {
  const { connection, stream, report, error } = result;
  const head = `${connection} ${stream}`;
  const failure = error === null ? [] : [`  ${error.code}: ${error.message}`];
  if (error?.code === NOT_COMPARED) return [`${head}: not compared`, `  ${error.message}`];
  if (report === null || (error !== null && report.findings.length === 0)) return [`${head}: not verified`, ...failure];
  const { findings, upstreamRows, comparedRows, repaired, unreadable } = report;
  const took = formatSeconds(report.endedAt.getTime() - report.startedAt.getTime());
  const share = upstreamRows === 0 ? 100 : Math.round((comparedRows / upstreamRows) * 100);
  const looked = `${counted(upstreamRows, 'row')}, ${share} % by content (${took})`;
  const odd =
    unreadable === 0 ? [] : [`  ${counted(unreadable, 'record')} could not be read: leadmirror quarantine list`];
  if (findings.length === 0) return [`${head}: equal, ${looked}`, ...odd];
  const counts = (Object.keys(MEANING) as FindingKind[])
    .map((kind) => [findings.filter((finding) => finding.kind === kind).length, MEANING[kind]] as const)
    .filter(([count]) => count > 0)
    .map(([count, meaning]) => `${formatCount(count)} ${meaning}`);
  const done = repaired === 0 ? '' : `; ${formatCount(repaired)} repaired`;
  const more = findings.length - SHOWN;
  return [
    `${head}: ${counts.join(', ')}${done}; ${looked}`,
    ...findings.slice(0, SHOWN).map(describeFinding),
    ...(more > 0 ? [`  and ${formatCount(more)} more: --json lists all`] : []),
    ...odd,
    ...failure,
    ...(findings.length > repaired ? [`  next: ${repairCommand(result)}`] : []),
  ];
}

const describeFinding = ({ id, kind, fields }: Finding): string => `  ${kind}  ${id}  ${fields.join(', ')}`.trimEnd();

const repairCommand = ({ connection, stream }: Verified): string =>
  `leadmirror verify ${stream} --connection ${connection} --repair`;

function toJson(result: Verified) {
  const { connection, stream, report, error } = result;
  const findings = report?.findings ?? [];
  const looked = error?.code === NOT_COMPARED ? null : report;
  const ids = (kind: FindingKind) => findings.filter((finding) => finding.kind === kind).map(({ id }) => id);
  return {
    ...{ connection, stream, error },
    rows: looked?.upstreamRows ?? null,
    compared: looked?.comparedRows ?? null,
    unreadable: looked?.unreadable ?? null,
    ...{ missing: ids('missing'), stale: ids('stale'), extra: ids('extra'), different: ids('different') },
    fields: Object.fromEntries(
      findings.filter(({ fields }) => fields.length > 0).map(({ id, fields }) => [id, fields]),
    ),
    repaired: report?.repaired ?? 0,
    next: findings.length > (report?.repaired ?? 0) ? repairCommand(result) : null,
    started_at: report?.startedAt ?? null,
    ended_at: report?.endedAt ?? null,
  };
}

/** Differences go before failures: they are what was asked for. */
function exitCodeOf(results: readonly Verified[], { repair }: VerifyOptions, signal: AbortSignal): ExitCode {
  if (signal.aborted) return EXIT.stoppedBySignal;
  const isOpen = ({ report }: Verified) => report !== null && report.findings.length > (repair ? report.repaired : 0);
  if (results.some(isOpen)) return EXIT.differences;
  // A stream that is never compared fails no verify of all; a verify of nothing else verified nothing.
  const compared = results.filter(({ error }) => error?.code !== NOT_COMPARED);
  const isVerified = compared.every(({ error }) => error === null) && (compared.length > 0 || results.length === 0);
  return isVerified ? EXIT.done : EXIT.failed;
}
