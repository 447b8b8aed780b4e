/** One believable change to an account in use; the mix is by weight, the choice by the generator that is passed in. */
import type { Random } from './random.ts';
import { personName } from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';
import type { TilkeeDocument, TilkeeKind } from './tilkee-documents.ts';

/** False when there was nothing of the kind to change. */
type Change = (data: TilkeeData, random: Random) => boolean;

function on<K extends TilkeeKind>(
  kind: K,
  act: (data: TilkeeData, doc: TilkeeDocument<K>, random: Random) => void,
): Change {
  return (data, random) => {
    const entries = data.collections[kind].sorted('_created', 1);
    // Recent rows change more often than old ones.
    const share = random.chance(0.5) ? 1 - random.next() ** 2 * 0.1 : random.next();
    const doc = entries[Math.min(entries.length - 1, Math.floor(share * entries.length))]?.doc;
    if (!doc) return false;
    act(data, doc, random);
    return true;
  };
}

/** Another name each time, however often a row is edited. */
function renamed(name: string): string {
  const [, base = name, count = '1'] = /^(.*) \(v(\d+)\)$/.exec(name) ?? [];
  return `${base} (v${Number(count) + 1})`;
}

const grow: Change = (data, random) => {
  const open = data.collections.connexion.filtered({
    field: '_created',
    direction: -1,
    filterKey: 'open',
    accepts: (visit) => visit.is_open,
  });
  if (open.length === 0) return false;
  const { doc } = random.pick(open);
  data.growVisit(doc.id);
  return true;
};

const edits: readonly (readonly [number, Change])[] = [
  [3, on('project', (data, { id, name }) => void data.touchProject(id, { name: renamed(name) }))],
  [
    2,
    on(
      'project',
      (data, { id, verdict }) => void data.touchProject(id, { verdict: verdict === 'won' ? 'lost' : 'won' }),
    ),
  ],
  [2, on('item', (data, { id, name }) => void data.touchItem(id, { name: renamed(name) }))],
  [1, on('item', (data, { id, favorite }) => void data.touchItem(id, { favorite: !favorite }))],
  [3, on('token', (data, { id, name }) => void data.touchToken(id, { name: renamed(name) }))],
  [2, on('token', (data, { id, won }) => void data.touchToken(id, { won: won === 'won' ? 'lost' : 'won' }))],
  [1, on('user', (data, { id, position }) => void data.touchUser(id, { position: renamed(position ?? 'Sales') }))],
  [3, grow],
];

const additions: readonly (readonly [number, Change])[] = [
  [35, on('token', (data, { id }) => void data.addVisit({ token_id: id }))],
  [25, grow],
  [
    10,
    (data, random) => {
      for (const visit of data.all('connexion').filter((one) => one.is_open)) {
        if (random.chance(0.3)) data.endVisit(visit.id);
      }
      return true;
    },
  ],
  [
    12,
    on('project', (data, { id, is_template }, random) => {
      data.addToken({ name: personName(random), ...(!is_template && { project_id: id }) });
    }),
  ],
  [3, (data) => data.addProject().id > 0],
  [3, (data) => data.addItem().id > 0],
  [2, on('token', (data, { id, archived_at }) => void (archived_at === null && data.archiveToken(id)))],
  [25, (data, random) => makeChange(edits, data, random)],
];

function chooseChange(choices: typeof edits, random: Random): Change | undefined {
  let draw = random.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, change] of choices) {
    draw -= weight;
    if (draw < 0) return change;
  }
  return undefined;
}

/** A kind may be empty; the account as a whole is not, since somebody signs in. */
function makeChange(choices: typeof edits, data: TilkeeData, random: Random): boolean {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (chooseChange(choices, random)?.(data, random)) return true;
  }
  return false;
}

export function editSomething(data: TilkeeData, random: Random): void {
  makeChange(edits, data, random);
}

export function liveChange(data: TilkeeData, random: Random): void {
  makeChange(additions, data, random);
}
