/** What does a crash cost? A first full read is killed (SIGKILL) when half of its pages were answered, and started again; then the mirror is compared, row by row. */
import type { Cli } from '../cli.ts';
import { type KillsReport, killAgainAndAgain } from '../kills.ts';
import { inRounds, median, type PartReport, range } from './figures.ts';

export interface RestartOptions {
  readonly cli: Cli;
  readonly leads: number;
  readonly requests: number;
  readonly pageSize: number;
  readonly rounds: number;
  /** False: the lease of the dead is over at once, which saves seconds and changes no page. */
  readonly waitsForLease?: boolean;
  readonly onProgress?: (text: string) => void;
}

export interface RestartMeasured {
  readonly rows: number;
  readonly rounds: readonly KillsReport[];
}

export async function measureRestart(options: RestartOptions): Promise<RestartMeasured> {
  const { cli, leads, requests, pageSize, rounds: wanted, onProgress } = options;
  const rounds: KillsReport[] = [];
  for (let round = 1; round <= wanted; round++) {
    const report = await killAgainAndAgain({
      ...{ cli, kills: 1, at: 0.5, seed: round, leads, requests, pageSize },
      waitsForLease: () => options.waitsForLease ?? true,
    });
    rounds.push(report);
    onProgress?.(
      `restart, round ${round} of ${wanted}: ${report.pagesTwice} of ${report.pagesUndisturbed} pages twice`,
    );
  }
  return { rows: leads + requests, rounds };
}

export function describeRestart({ rows, rounds }: RestartMeasured): PartReport {
  const twice = Math.max(
    ...rounds.map(({ pagesTwice, pages, pagesUndisturbed }) => Math.max(pagesTwice, pages - pagesUndisturbed)),
  );
  const wrong = rounds.flatMap(({ kills, end, differences }, index) => {
    const round = `round ${index + 1}: `;
    if (kills === 0) return [`${round}the read was over before it could be killed`];
    if (end.code !== 0) return [`${round}the sync after the kill ended with ${end.code}`];
    const isEqual = differences.every((one) => Object.values(one).every((ids) => ids.length === 0));
    return isEqual ? [] : [`${round}the mirror differs from the upstream`];
  });
  return {
    part: 'restart',
    subject: `${rows} leads and requests, killed half way, ${inRounds(rounds.length)}`,
    figures: [
      {
        ...{ name: 'pages fetched twice, most of a round', value: String(twice), measured: twice },
        ...{ goal: 'at most 2', isReached: twice <= 2 },
      },
      {
        name: 'pages of the whole read',
        value: String(median(rounds.map(({ pagesUndisturbed }) => pagesUndisturbed))),
      },
      {
        name: 'requests more than undisturbed (role checks, probes, looks at changes)',
        value: range(
          rounds.map(({ requests, requestsUndisturbed }) => requests - requestsUndisturbed),
          String,
        ),
      },
      { name: 'mirror equals upstream', value: wrong.length === 0 ? 'yes' : 'no' },
    ],
    wrong,
    notMeasured: ['a power cut, or a crash of Postgres itself (see `npm run test:chaos`)'],
    rounds,
  };
}
