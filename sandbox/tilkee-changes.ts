/** One believable change to an account in use; the mix is by weight, the choice by the generator that is passed in. */
import type { Random } from './random.ts';
import { personName, type TilkeeDocument, type TilkeeKind } from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';

/** False when there was nothing of the kind to change. */
type Change = (data: TilkeeData, random: Random) => boolean;
type Weighted = readonly (readonly [weight: number, change: Change])[];

function on<K extends TilkeeKind>(
  kind: K,
  act: (data: TilkeeData, doc: TilkeeDocument<K>, random: Random) => unknown,
): Change {
  return (data, random) => {
    const doc = random.pickRecent(data.all(kind));
    if (doc) act(data, doc, random);
    return doc !== undefined;
  };
}

/** Another name each time, however often a row is edited. */
function renamed(name: string): string {
  const [, base = name, count = '1'] = /^(.*) \(v(\d+)\)$/.exec(name) ?? [];
  return `${base} (v${Number(count) + 1})`;
}

function grow(data: TilkeeData, random: Random): boolean {
  const open = data.all('connexion').filter((visit) => visit.is_open);
  if (open.length > 0) data.growVisit(random.pick(open).id);
  return open.length > 0;
}

function endSomeVisits(data: TilkeeData, random: Random): boolean {
  for (const { id, is_open } of data.all('connexion')) {
    if (is_open && random.chance(0.3)) data.touch('connexion', id, { is_open: false });
  }
  return true;
}

function addToken(data: TilkeeData, { id, is_template }: TilkeeDocument<'project'>, random: Random): void {
  data.add('token', { name: personName(random), ...(!is_template && { project_id: id }) });
}

const other = (verdict: string) => (verdict === 'won' ? 'lost' : 'won');

export const edits: Weighted = [
  [3, on('project', (data, { id, name }) => data.touch('project', id, { name: renamed(name) }))],
  [2, on('project', (data, { id, verdict }) => data.touch('project', id, { verdict: other(verdict) }))],
  [2, on('item', (data, { id, name }) => data.touch('item', id, { name: renamed(name) }))],
  [1, on('item', (data, { id, favorite }) => data.touch('item', id, { favorite: !favorite }))],
  [3, on('token', (data, { id, name }) => data.touch('token', id, { name: renamed(name) }))],
  [2, on('token', (data, { id, won }) => data.touch('token', id, { won: other(won) }))],
  [1, on('user', (data, { id, position }) => data.touch('user', id, { position: renamed(position ?? 'Sales') }))],
  [3, grow],
];

/** What a day at work brings: visits begin and grow, links are made, rows edited. */
export const dayAtWork: Weighted = [
  [35, on('token', (data, { id }) => data.add('connexion', { token_id: id }))],
  [25, grow],
  [10, endSomeVisits],
  [12, on('project', addToken)],
  [3, (data) => data.add('project').id > 0],
  [3, (data) => data.add('item').id > 0],
  [2, on('token', (data, { id, archived_at }) => archived_at === null && data.archive('token', id))],
  [25, (data, random) => makeChange(edits, data, random)],
];

/** A kind may be empty; the account as a whole is not, since a user signs in. */
export function makeChange(choices: Weighted, data: TilkeeData, random: Random): boolean {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (random.weighted(choices)(data, random)) return true;
  }
  return false;
}
