/** All that an account can list, for comparing a mirror with. */
import type { TilkeeData } from './tilkee-data.ts';
import type { TilkeeDocument, TilkeeKind } from './tilkee-documents.ts';
import { v2User } from './tilkee-v2-accounts.ts';
import { v2Connexion, v2Item, v2ProjectRow, v2Token } from './tilkee-v2-rows.ts';
import { finishRow, v3Item, v3Project } from './tilkee-v3-rows.ts';

type Row = Readonly<Record<string, unknown>>;

/** Archived ones, templates and users who left included. */
export interface TilkeeListable {
  readonly projectsV3: readonly Row[];
  readonly itemsV3: readonly Row[];
  readonly projectsV2: readonly Row[];
  readonly itemsV2: readonly Row[];
  readonly tokens: readonly Row[];
  readonly connexions: readonly Row[];
  readonly users: readonly Row[];
}

const expandedProject = new Set(['owner', 'tags', 'data']);
const expandedItem = new Set(['owner', 'tags']);

export function listableRows(data: TilkeeData): TilkeeListable {
  const { switches } = data;
  const rows = <K extends TilkeeKind>(kind: K, build: (doc: TilkeeDocument<K>) => Row): Row[] =>
    data.all(kind).map((doc) => {
      const hasId = !(switches.rowWithoutId && data.isOldest(kind, doc));
      return finishRow(build(doc), switches, { hasId });
    });
  return {
    projectsV3: rows('project', (doc) => v3Project(data, doc, expandedProject)),
    itemsV3: rows('item', (doc) => v3Item(data, doc, expandedItem)),
    projectsV2: rows('project', (doc) => v2ProjectRow(data, doc)),
    itemsV2: rows('item', (doc) => v2Item(data, doc)),
    tokens: rows('token', (doc) => v2Token(data, doc)),
    connexions: rows('connexion', (doc) => v2Connexion(data, doc)),
    users: rows('user', (doc) => v2User(doc)),
  };
}
