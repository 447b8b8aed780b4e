import type { Reader } from '../../store/mirror/select-rows.ts';
import { addCounts, type Counts } from '../../store/privacy/erasure-log.ts';
import { addressMark, addressOf, numberMark, numberOf, rowMark } from '../../store/privacy/marks.ts';
import { countVersions, findRows, type RowQuery, versionsOf } from '../../store/privacy/person-rows.ts';
import type { TableSpec } from '../../stream.ts';
import { type ErasurePlan, type ErasureTarget, keyOf, nameOf, type PlannedRow, rowsByTarget } from './erasure-plan.ts';
import { marksOfText } from './rules.ts';

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

/** Any account. */
const ANY = '*';

const sourceOf = (connectionId: string, targets: readonly ErasureTarget[]): string =>
  targets.find((target) => target.connectionId === connectionId)?.stream.table.schema ?? '';

export interface ClosureOptions {
  readonly select?: Partial<Selectors>;
  /** What an earlier round of the same erasure took: it is gone, and others may still refer to it. */
  readonly taken: ErasurePlan;
  /** What was created later stays. */
  readonly until?: Date | null;
  /** Only what refers to the rows asked for: neither the persons that they are about, nor others with the same address. */
  readonly byIdOnly?: boolean;
}

/**
 * Collects what belongs to one person: by id, and by normalised address and number, never by a name alone. Each round
 * looks for what the one before made known, until a round finds nothing.
 */
export const findAll = (prisma: Reader, targets: readonly ErasureTarget[], options: ClosureOptions) =>
  new Closure(prisma, targets, options).find();

class Closure {
  readonly #prisma: Reader;
  readonly #targets: readonly ErasureTarget[];
  readonly #rows = new Map<string, PlannedRow>();
  readonly #quarantine = new Set<string>();
  readonly #addresses: Set<string>;
  readonly #numbers: Set<string>;
  readonly #names: Set<string>;
  /** Ids and keys that were asked for, by account and stream. */
  readonly #wanted = new Map<string, Set<string>>();
  readonly #taken: ErasurePlan;
  readonly #until: number;
  readonly #byIdOnly: boolean;

  constructor(
    prisma: Reader,
    targets: readonly ErasureTarget[],
    { select = {}, taken, until = null, byIdOnly = false }: ClosureOptions,
  ) {
    this.#byIdOnly = byIdOnly;
    this.#prisma = prisma;
    this.#until = until?.getTime() ?? Number.POSITIVE_INFINITY;
    this.#targets = targets.filter(({ connectionId }) => taken.connectionIds.includes(connectionId));
    this.#taken = taken;
    this.#addresses = new Set(taken.addresses);
    this.#numbers = new Set(taken.numbers);
    this.#names = new Set(taken.names);
    const { leads = [], links = [], requests = [], emails = [], phones = [], rows = [] } = select;
    for (const id of leads) this.#want('tiledesk.leads', id);
    for (const id of links) this.#want('tilkee.tokens', id);
    for (const id of requests) this.#want('tiledesk.requests', id);
    for (const { stream, id, connectionId } of rows) this.#want(stream, id, connectionId);
    for (const email of emails) this.#addresses.add(addressOf(email) ?? email.trim().toLowerCase());
    for (const phone of phones) this.#numbers.add(numberOf(phone) ?? phone.trim());
    for (const given of [...emails, ...phones]) this.#addPseudonyms(given);
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
      references: this.#referencesOf(connectionId, table),
    };
    const { isPerson, addresses = [], numbers = [], names = [], keys = [], refersTo = {} } = table.personal ?? {};
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
    const connection_id = { in: [...this.#taken.connectionIds] };
    const read = (after: bigint) =>
      this.#prisma.syncQuarantine.findMany({
        where: { connection_id, id: { gt: after } },
        orderBy: { id: 'asc' },
        take: 100,
      });
    for (let some = await read(0n); some.length > 0; some = await read(some.at(-1)?.id ?? 0n)) {
      for (const { id, connection_id: connectionId, stream: name, record_id, raw_text } of some) {
        const target = this.#targets.find((one) => one.connectionId === connectionId && one.stream.name === name);
        if (target === undefined) continue;
        const found = [rowMark(name, record_id), ...marksOfText(target.stream, raw_text)];
        if (!found.some((mark) => marks.has(mark))) continue;
        this.#quarantine.add(String(id));
        // A retry may write the row before its text is deleted.
        const row = { connectionId, stream: name, id: record_id, createdAt: null, keys: [], isMissing: true };
        if (!this.#rows.has(keyOf(row))) this.#rows.set(keyOf(row), row);
      }
    }
  }

  /** A record in quarantine may have a row, whose older content did not lead to the person. */
  async #lookForMissing(): Promise<void> {
    const missing = [...this.#rows.values()].filter(({ isMissing }) => isMissing);
    for (const { connectionId, stream, rows } of rowsByTarget(this.#targets, missing)) {
      const query = { connectionId, ids: rows.map(({ id }) => id) };
      const stored = new Set((await findRows(this.#prisma, stream.table, query)).map(({ id }) => id));
      for (const row of rows) if (stored.has(row.id)) this.#rows.set(keyOf(row), { ...row, isMissing: false });
    }
  }

  async #countVersions(): Promise<Counts> {
    const counts: Counts[] = [];
    for (const { connectionId, stream, rows } of rowsByTarget(this.#targets, [...this.#rows.values()])) {
      const ids = rows.map(({ id }) => id);
      const count = await countVersions(this.#prisma, stream.table, { connectionId, ids });
      counts.push({ [versionsOf(stream.name)]: count });
    }
    return addCounts(...counts);
  }
}

function add(set: Set<string>, value: string | null): void {
  if (value !== null) set.add(value);
}
