import type { SyncHistoryStatus } from '../generated/prisma/client.ts';
import { ensureHistory, readHistory, stopHistory } from '../store/mirror/history.ts';
import { type CommandOptions, type CommandProcess, runOnApp, runOnDatabase, UsageError } from './command.ts';
import { counted, formatCount } from './format.ts';
import { selectKnown, selectStreams } from './selection.ts';

type Frame = Pick<CommandOptions, 'json' | 'proc'>;

/** Switches the versions of streams on or off, for all accounts, or shows what is kept. */
export async function history(
  action: 'on' | 'off' | 'status',
  streams: readonly string[],
  { json }: { readonly json?: boolean },
  proc: CommandProcess,
): Promise<void> {
  const frame = { json, proc };
  if (action === 'status') return showStatus(frame);
  if (streams.length === 0) throw new UsageError(`Name the streams: leadmirror history ${action} tiledesk.requests`);
  return action === 'on' ? switchOn(streams, frame) : switchOff(streams, frame);
}

async function switchOn(names: readonly string[], frame: Frame): Promise<void> {
  await runOnApp(frame, async ({ connections, database }, { printResult }) => {
    const selected = selectStreams(connections, names, undefined).map(({ stream }) => stream);
    const able = selected.filter(({ table }) => table.tracked !== undefined);
    const streams = [...new Set(able.map(({ name }) => name))];
    if (streams.length === 0)
      throw new UsageError(`No stream of ${names.join(', ')} has a history. docs/history.md lists those that have`);
    const tables = able.map(({ table }) => table);
    await ensureHistory(database, tables, streams);
    printResult({ on: streams }, () =>
      streams.map(
        (stream) => `${stream}: versions are kept from now on; ask ${stream}_versions and ${stream}_as_of(moment)`,
      ),
    );
  });
}

async function switchOff(names: readonly string[], frame: Frame): Promise<void> {
  await runOnDatabase(frame, async (database, { printResult }) => {
    const known = (await readHistory(database.prisma)).map(({ stream }) => ({ connectionId: '', stream }));
    const selected = selectKnown(known, names, undefined, 'With a history');
    const streams = selected.map(({ stream }) => stream);
    const off = await stopHistory(database, streams);
    printResult({ off }, () =>
      off.length === 0
        ? ['It was off already.']
        : off.map((stream) => `${stream}: no versions are kept from now on; those of before stay`),
    );
  });
}

async function showStatus(frame: Frame): Promise<void> {
  await runOnDatabase(frame, async ({ prisma }, { printResult }) => {
    const lines = await readHistory(prisma);
    printResult({ streams: lines }, () =>
      lines.length === 0
        ? ['No stream has a history. Switch it on: leadmirror history on tiledesk.requests']
        : lines.map(statusLine),
    );
  });
}

function statusLine({ stream, on_since, off_since, first_look_ended_at, versions, bytes }: SyncHistoryStatus): string {
  const state = off_since === null ? `on since ${on_since.toISOString()}` : `off since ${off_since.toISOString()}`;
  const look = off_since === null && first_look_ended_at === null ? ', first look not complete' : '';
  return `${stream}: ${state}${look}, about ${counted(versions ?? 0, 'version')}, ${formatCount(Math.ceil(Number(bytes) / 2 ** 20))} MB`;
}
