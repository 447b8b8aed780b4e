import { groupBy } from '../../group-by.ts';
import type { Reader } from '../../store/mirror/select-rows.ts';
import { addressMark, addressOf, numberMark, numberOf, rowMark } from '../../store/privacy/marks.ts';
import { countVersions, findRows, type RowQuery } from '../../store/privacy/person-rows.ts';
import type { Stream, TableSpec } from '../../stream.ts';
import { marksOfText } from './rules.ts';

/** A stream of an account, as far as an erasure has to know it. */
export interface ErasureTarget {
  readonly connectionId: string;
  readonly stream: Pick<Stream, 'name' | 'table' | 'mapRecord' | 'redactRecord'>;
}

export interface Selectors {
  readonly leads: readonly string[];
  readonly links: readonly string[];
  readonly requests: readonly string[];
  /** As they were given. */
  readonly emails: readonly string[];
  readonly phones: readonly string[];
  /** `tiledesk.users:5f…`: rows that a person looked at. */
  readonly rows: readonly { readonly stream: string; readonly id: string; readonly connectionId?: string }[];
}

export interface PlannedRow {
  readonly connectionId: string;
  readonly stream: string;
  readonly id: string;
  readonly createdAt: string | null;
  /** Under which other rows know it, beside its id. */
  readonly keys: readonly string[];
  /** Only a text in quarantine has it so far. */
  readonly isMissing?: boolean;
}

/** Rows by table. */
export type Counts = Readonly<Record<string, number>>;

/** What an erasure takes. Plain JSON: it is kept, encrypted, until the erasure has ended. */
export interface ErasurePlan {
  readonly connectionIds: readonly string[];
  readonly rows: readonly PlannedRow[];
  /** `sync.quarantine.id` */
  readonly quarantine: readonly string[];
  readonly addresses: readonly string[];
  readonly numbers: readonly string[];
  readonly names: readonly string[];
  /** How many versions history keeps of the rows, by the table that they are in. */
  readonly versions: Counts;
}

/** The table of the versions of a stream. */
export const versionsOf = (stream: string): string => `${stream}_history`;

/** Any account. */
const ANY = '*';

export const emptyPlan = (connectionIds: readonly string[]): ErasurePlan => ({
  connectionIds,
  ...{ rows: [], quarantine: [], addresses: [], numbers: [], names: [], versions: {} },
});

const sourceOf = (connectionId: string, targets: readonly ErasureTarget[]): string =>
  targets.find((target) => target.connectionId === connectionId)?.stream.table.schema ?? '';

const keyOf = ({ connectionId, stream, id }: PlannedRow): string => `${connectionId}\n${stream}\n${id}`;

/** In lower case, without spaces around; null: too short to mean one person. */
export function nameOf(given: string | null | undefined): string | null {
  const name = given?.trim().toLowerCase() ?? '';
  return name.length < 4 ? null : name;
}

/**
 * Collects what belongs to one person: by id, and by normalised address and number, never by a name alone. Each round
 * looks for what the one before made known, until a round finds nothing.
 */
export class Closure {
  readonly #prisma: Reader;
  readonly #targets: readonly ErasureTarget[];
  readonly #rows = new Map<string, PlannedRow>();
  readonly #quarantine = new Set<string>();
  readonly #addresses: Set<string>;
  readonly #numbers: Set<string>;
  readonly #names: Set<string>;
  /** Ids and keys that were asked for, by account and stream. */
  readonly #wanted = new Map<string, Set<string>>();
  /** Rows that an earlier round of the same erasure took: they are gone, and others may still refer to them. */
  readonly #taken: ErasurePlan;

  /** What was created later stays (ms). */
  readonly #until: number;
  readonly #byIdOnly: boolean;

  constructor(
    prisma: Reader,
    targets: readonly ErasureTarget[],
    { taken, until = null, byIdOnly = false }: ClosureOptions,
  ) {
    this.#byIdOnly = byIdOnly;
    this.#prisma = prisma;
    this.#until = until?.getTime() ?? Number.POSITIVE_INFINITY;
    this.#targets = targets.filter(({ connectionId }) => taken.connectionIds.includes(connectionId));
    this.#taken = taken;
    this.#addresses = new Set(taken.addresses);
    this.#numbers = new Set(taken.numbers);
    this.#names = new Set(taken.names);
  }

  select({ leads, links, requests, emails, phones, rows }: Selectors): this {
    for (const id of leads) this.#want('tiledesk.leads', id);
    for (const id of links) this.#want('tilkee.tokens', id);
    for (const id of requests) this.#want('tiledesk.requests', id);
    for (const { stream, id, connectionId } of rows) this.#want(stream, id, connectionId);
    for (const email of emails) this.#addresses.add(addressOf(email) ?? email.trim().toLowerCase());
    for (const phone of phones) this.#numbers.add(numberOf(phone) ?? phone.trim());
    for (const given of [...emails, ...phones]) this.#addPseudonyms(given);
    return this;
  }

  /** What the mirror stores instead, where the settings want pseudonyms. */
  #addPseudonyms(given: string): void {
    for (const { stream } of this.#targets) {
      const { addresses = [], numbers = [] } = stream.table.personal ?? {};
      const record = Object.fromEntries([...addresses, ...numbers].map((path) => [path, given]));
      const kept = stream.redactRecord(record) as Readonly<Record<string, unknown>>;
      for (const path of addresses) add(this.#addresses, addressOf(kept[path]));
      for (const path of numbers) add(this.#numbers, numberOf(kept[path]));
    }
  }

  async find(): Promise<ErasurePlan> {
    for (let before = -1; before !== this.#size; ) {
      before = this.#size;
      for (const target of this.#targets) await this.#look(target);
    }
    await this.#lookIntoQuarantine();
    await this.#lookForMissing();
    return {
      connectionIds: this.#taken.connectionIds,
      rows: [...this.#rows.values()],
      quarantine: [...this.#quarantine],
      addresses: [...this.#addresses],
      numbers: [...this.#numbers],
      names: [...this.#names],
      versions: await this.#countVersions(),
    };
  }

  get #size(): number {
    const wanted = [...this.#wanted.values()].reduce((sum, ids) => sum + ids.size, 0);
    return this.#rows.size + this.#addresses.size + this.#numbers.size + wanted;
  }

  #want(stream: string, id: string, connectionId = ANY): void {
    const key = `${connectionId} ${stream}`;
    this.#wanted.set(key, (this.#wanted.get(key) ?? new Set()).add(id));
  }

  async #look({ connectionId, stream }: ErasureTarget): Promise<void> {
    const { table, name } = stream;
    const wanted = new Set([ANY, connectionId].flatMap((of) => [...(this.#wanted.get(`${of} ${name}`) ?? [])]));
    const query: RowQuery = {
      connectionId,
      ids: [...wanted],
      addresses: [...this.#addresses],
      numbers: [...this.#numbers],
      names: [],
      references: this.#referencesOf(connectionId, table),
    };
    const {
      isPerson = false,
      addresses = [],
      numbers = [],
      names = [],
      keys = [],
      refersTo = {},
    } = table.personal ?? {};
    for (const { id, created_at: createdAt, values } of await findRows(this.#prisma, table, query)) {
      if (createdAt !== null && createdAt.getTime() > this.#until) continue;
      const known = keys.flatMap((path) => values[path] ?? []);
      const row = { connectionId, stream: name, id, createdAt: createdAt?.toISOString() ?? null, keys: known };
      this.#rows.set(keyOf(row), row);
      if (this.#byIdOnly) continue;
      if (isPerson) {
        for (const path of addresses) add(this.#addresses, addressOf(values[path]));
        for (const path of numbers) add(this.#numbers, numberOf(values[path]));
        for (const path of names) add(this.#names, nameOf(values[path]));
      }
      // What was asked for by its id leads to its person; what belongs to a person leads to no other one.
      if (![id, ...known].some((key) => wanted.has(key))) continue;
      for (const [path, of] of Object.entries(refersTo)) {
        const target = this.#targets.find((one) => one.stream.name === of);
        if (target?.stream.table.personal?.isPerson && values[path]) this.#want(of, values[path]);
      }
    }
  }

  /** Ids are those of one account; another product refers to them whatever the account. */
  #referencesOf(connectionId: string, { personal, schema }: TableSpec): Map<string, string[]> {
    const streams = new Set(Object.values(personal?.refersTo ?? {}));
    const references = new Map<string, string[]>();
    for (const row of [...this.#taken.rows, ...this.#rows.values()]) {
      const isSeen = row.connectionId === connectionId || sourceOf(row.connectionId, this.#targets) !== schema;
      if (!isSeen || !streams.has(row.stream)) continue;
      references.set(row.stream, [...(references.get(row.stream) ?? []), row.id, ...row.keys]);
    }
    return references;
  }

  /** Texts are few: each is read, also of records that were written since. */
  async #lookIntoQuarantine(): Promise<void> {
    const marks = new Set([
      ...[...this.#addresses].map(addressMark),
      ...[...this.#numbers].map(numberMark),
      ...[...this.#taken.rows, ...this.#rows.values()].flatMap(({ stream, id, keys }) =>
        [id, ...keys].map((key) => rowMark(stream, key)),
      ),
    ]);
    const where = { connection_id: { in: [...this.#taken.connectionIds] } };
    for (let after = 0n; ; ) {
      const records = await this.#prisma.syncQuarantine.findMany({
        where: { ...where, id: { gt: after } },
        orderBy: { id: 'asc' },
        take: 100,
      });
      const last = records.at(-1);
      if (last === undefined) return;
      after = last.id;
      for (const record of records) this.#judgeQuarantined(record, marks);
    }
  }

  #judgeQuarantined(record: QuarantinedText, marks: ReadonlySet<string>): void {
    const { id, connection_id: connectionId, stream: name, record_id, raw_text } = record;
    const target = this.#targets.find((one) => one.connectionId === connectionId && one.stream.name === name);
    if (target === undefined) return;
    const isTheirs = [rowMark(name, record_id), ...marksOfText(target.stream, raw_text)].some((mark) =>
      marks.has(mark),
    );
    if (!isTheirs) return;
    this.#quarantine.add(String(id));
    // A retry may write the row before its text is deleted.
    const row = { connectionId, stream: name, id: record_id, createdAt: null, keys: [], isMissing: true };
    if (!this.#rows.has(keyOf(row))) this.#rows.set(keyOf(row), row);
  }

  /** A record in quarantine may have a row, whose older content did not lead to the person. */
  async #lookForMissing(): Promise<void> {
    const missing = [...this.#rows.values()].filter(({ isMissing }) => isMissing);
    for (const { connectionId, stream, rows } of this.#byTarget(missing)) {
      const nothing = { addresses: [], numbers: [], names: [], references: new Map() };
      const query = { ...nothing, connectionId, ids: rows.map(({ id }) => id) };
      for (const { id } of await findRows(this.#prisma, stream.table, query)) {
        const row = rows.find((one) => one.id === id);
        if (row !== undefined) this.#rows.set(keyOf(row), { ...row, isMissing: false });
      }
    }
  }

  async #countVersions(): Promise<Counts> {
    const counts: Record<string, number> = {};
    for (const { connectionId, stream, rows } of this.#byTarget([...this.#rows.values()])) {
      const ids = rows.map(({ id }) => id);
      const count = await countVersions(this.#prisma, stream.table, { connectionId, ids });
      const name = versionsOf(stream.name);
      if (count > 0) counts[name] = (counts[name] ?? 0) + count;
    }
    return counts;
  }

  #byTarget(rows: readonly PlannedRow[]): RowsOfTarget[] {
    return rowsByTarget(this.#targets, rows);
  }
}

export interface ClosureOptions {
  /** What an earlier round of the same erasure took. */
  readonly taken: ErasurePlan;
  /** What was created later stays. */
  readonly until?: Date | null;
  /** Only what refers to the rows asked for: neither the persons that they are about, nor others with the same address. */
  readonly byIdOnly?: boolean;
}

interface QuarantinedText {
  readonly id: bigint;
  readonly connection_id: string;
  readonly stream: string;
  readonly record_id: string;
  readonly raw_text: string;
}

/** The rows of a plan that one table of an account has. */
export interface RowsOfTarget extends ErasureTarget {
  readonly rows: readonly PlannedRow[];
}

/** In the order of the targets. */
export function rowsByTarget(targets: readonly ErasureTarget[], rows: readonly PlannedRow[]): RowsOfTarget[] {
  const groups = groupBy(rows, ({ connectionId, stream }) => `${connectionId} ${stream}`);
  return targets.flatMap((target) => {
    const own = groups.get(`${target.connectionId} ${target.stream.name}`);
    return own === undefined ? [] : [{ ...target, rows: own }];
  });
}

function add(set: Set<string>, value: string | null): void {
  if (value !== null) set.add(value);
}

/** One plan with what a later round found. */
export function joinPlans(one: ErasurePlan, other: ErasurePlan): ErasurePlan {
  const all = [...one.rows, ...other.rows];
  const isStored = ({ isMissing }: PlannedRow) => isMissing !== true;
  // A row that either has seen wins over one that is only known from quarantine.
  const sorted = [...all.filter((row) => !isStored(row)), ...all.filter(isStored)];
  const rows = new Map(sorted.map((row) => [keyOf(row), row]));
  const both = (name: 'quarantine' | 'addresses' | 'numbers' | 'names') => [...new Set([...one[name], ...other[name]])];
  return {
    connectionIds: one.connectionIds,
    rows: [...rows.values()],
    quarantine: both('quarantine'),
    addresses: both('addresses'),
    numbers: both('numbers'),
    names: both('names'),
    versions: addCounts(one.versions, other.versions),
  };
}

function addCounts(one: Counts, other: Counts): Counts {
  const sums = Object.entries(other).map(([name, count]) => [name, count + (one[name] ?? 0)] as const);
  return { ...one, ...Object.fromEntries(sums) };
}

/** How many rows of each table. */
export function countRows({ rows, quarantine, versions }: ErasurePlan): Counts {
  const counts: Record<string, number> = {};
  for (const { stream, isMissing } of rows) if (!isMissing) counts[stream] = (counts[stream] ?? 0) + 1;
  if (quarantine.length > 0) counts['sync.quarantine'] = quarantine.length;
  return { ...counts, ...versions };
}

/** What may find a person in a text, in lower case; null: nothing is known. */
export function patternOf({
  addresses,
  numbers,
  names,
}: Pick<ErasurePlan, 'addresses' | 'numbers' | 'names'>): string | null {
  const literal = (text: string) =>
    text.replace(/[^\p{L}\p{N}\s@]/gu, (sign) => (/["\\]/.test(sign) ? '.{1,4}' : `\\${sign}`));
  const patterns = [
    ...addresses.map((address) => `(^|[^a-z0-9._%+'-])${literal(address)}($|[^a-z0-9.-]|[.-]($|[^a-z0-9]))`),
    ...numbers.map((number) => `(^|[^0-9])(00)?${[...number].join('[ ()./-]{0,2}')}($|[^0-9])`),
    ...names.map((name) => `(^|[^[:alnum:]])${name.split(/\s+/).map(literal).join('\\s+')}($|[^[:alnum:]])`),
  ];
  return patterns.length === 0 ? null : patterns.join('|');
}
