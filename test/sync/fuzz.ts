import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../src/clock.ts';
import type { Logger } from '../../src/logger.ts';
import { asId, asMs, isObject } from '../../src/sources/coerce.ts';
import { createLeadsStream } from '../../src/sources/tiledesk/leads.ts';
import type { TiledeskStreamParts } from '../../src/sources/tiledesk/parts.ts';
import { createRequestsStream } from '../../src/sources/tiledesk/requests.ts';
import type { TilkeeStreamParts } from '../../src/sources/tilkee/parts.ts';
import { createTokensStream } from '../../src/sources/tilkee/tokens.ts';
import { createPrivacyGuard } from '../../src/store/privacy/guard.ts';
import type { Connection, List, Stream } from '../../src/stream.ts';
import { type PassParts, runPass } from '../../src/sync/run-pass.ts';
import { createSnapshotWalk } from '../../src/walks/snapshot.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type Store, setupStore } from '../store/support.ts';

const PAGE = 50;

type Fate = 'row' | 'no_id' | 'refused_by_database' | 'unmappable';

interface Payload {
  readonly fate: Fate;
  /** As it comes over the wire. */
  readonly text: string;
}

interface Kind {
  readonly name: string;
  readonly stream: Stream;
  readonly idField: string;
  readonly createdField: string;
  readonly updatedField: string;
  readonly fields: readonly string[];
  /** Stands in an index: too long for one, it is refused. */
  readonly indexedText: string;
  /** Stands in none: as long as it likes. */
  readonly freeText: string;
}

const privacy = { storeVisitorPii: false, storeLinks: false };
const noApi = {} as never;
const tiledesk: TiledeskStreamParts = { api: noApi, pageSize: 100, maxPageSize: 100, fullSyncKey: 'id', privacy };
const tilkee = { api: noApi, settings: { extras: [] }, privacy } as unknown as TilkeeStreamParts;

const KINDS: readonly Kind[] = [
  kindOf(createLeadsStream(tiledesk), { idField: '_id', indexedText: 'email', freeText: 'note' }),
  kindOf(createRequestsStream(tiledesk), { idField: '_id', indexedText: 'request_id', freeText: 'first_text' }),
  kindOf(createTokensStream(tilkee), { idField: 'id', indexedText: 'external_id', freeText: 'name' }),
];

function kindOf(stream: Stream, rest: Pick<Kind, 'idField' | 'indexedText' | 'freeText'>): Kind {
  const isTiledesk = stream.name.startsWith('tiledesk.');
  return {
    ...rest,
    name: stream.name,
    stream,
    createdField: isTiledesk ? 'createdAt' : 'created_at',
    updatedField: isTiledesk ? 'updatedAt' : 'updated_at',
    fields: Object.keys(stream.fields ?? {}).filter((field) => field !== rest.idField),
  };
}

/** Deterministic, so that a failure can be looked at: xorshift. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const nested = (levels: number, open: string, close: string, core: string) =>
  open.repeat(levels) + core + close.repeat(levels);
const deep = (levels: number) => [
  nested(levels, '[', ']', '1'),
  nested(levels, '{"a":', '}', '"\\u0000"'),
  nested(levels / 2, '[{"b":', '}]', 'null'),
];
/** Nothing that compresses: an index entry holds a third of a page at most. */
const incompressible = (length: number) => randomBytes(length).toString('base64').slice(0, length);

const ODD_VALUES: readonly string[] = [
  ...['null', 'true', 'false', '0', '-0', '1', '-1', '""', '"text"', '[]', '{}', '[[]]', '[null]', '[{}]'],
  ...[
    '9007199254740993',
    '-9007199254740993',
    '2147483648',
    '1e308',
    '-1e308',
    '1e400',
    '5e-324',
    '0.1',
    '12345678901234567890',
  ],
  ...[
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udc00x"',
    '"\\ud83d\\ude00"',
    '"\\\\u0000"',
    '"\\ufffe"',
    '"\\u202e"',
  ],
  ...[
    '"1970-01-01"',
    '"0000-00-00"',
    '"9999-12-31T23:59:59.999Z"',
    '"10000-01-01T00:00:00Z"',
    '"-271821-04-20"',
    '"now"',
  ],
  ...['"infinity"', '"2026-02-30T00:00:00Z"', '"2026-13-01"', '8640000000000001', '-62135596800001', '253402300800000'],
  ...['"NaN"', '"Infinity"', '"1e309"', '"0x10"', '" 7 "', '"true"', '{"_id":"x","id":"y"}', '{"_id":{"_id":{}}}'],
  ...[
    '{"__proto__":{"a":1}}',
    '{"constructor":1,"toString":2,"hasOwnProperty":null}',
    '{"":{"":""}}',
    '{"a.b":{"$c":1}}',
  ],
  ...[
    '["\\u0000",{"\\u0000":"\\ud800"}]',
    '{"\\u0000":1}',
    '[1,"a",null,{"tag":7},{"tag":{}}]',
    '"%s %d \\\\x00 {{}} \'; --"',
  ],
];

const BAD_IDS: readonly string[] = [
  ...['null', 'true', 'false', '""', '{}', '[]', '["a"]', '{"_id":null}', '{"_id":{"_id":""}}', '1e400'],
  `"${'y'.repeat(10_000)}"`,
];

function createPayload({ idField, fields, ...kind }: Kind, random: (below: number) => number, index: number): Payload {
  const pick = <T>(from: readonly T[]) => from[random(from.length)] as T;
  const entries = new Map<string, string>([
    [idField, random(10) === 0 ? String(index + 1) : `"${(index + 0x1000000).toString(16).padStart(24, '0')}"`],
    [kind.createdField, '"2026-01-01T00:00:00.000Z"'],
    [kind.updatedField, `"2026-01-02T00:00:00.${String(index % 1000).padStart(3, '0')}Z"`],
  ]);
  for (let i = random(8); i > 0; i--) entries.set(pick(fields), pick(ODD_VALUES));
  if (random(4) === 0)
    entries.set(pick(['\\u0000', 'odd name', '__proto__', 'added', 'a'.repeat(70)]), pick(ODD_VALUES));
  const text = () => `{${[...entries].map(([name, value]) => `"${name}":${value}`).join(',')}}`;
  const isEvery = (n: number) => index % n === n - 1;

  if (isEvery(23))
    return { fate: 'no_id', text: pick(['null', '7', '"text"', 'true', '[]', '[{"_id":"a","id":"a"}]', '{}']) };
  if (isEvery(29)) {
    entries.set(idField, pick([...BAD_IDS, `"${incompressible(10_000)}"`]));
    return { fate: 'no_id', text: text() };
  }
  if (isEvery(113)) {
    entries.set(kind.indexedText, `"${incompressible(10_000)}"`);
    return { fate: 'refused_by_database', text: text() };
  }
  if (isEvery(211)) {
    entries.set('attributes', pick(deep(20_000)));
    if (random(2) === 0) entries.set(idField, nested(20_000, '{"_id":', '}', entries.get(idField) ?? ''));
    return { fate: 'unmappable', text: text() };
  }
  if (isEvery(41)) entries.set(pick(['attributes', 'tags', 'unheard_of']), pick(deep(2000)));
  if (isEvery(397)) entries.set(kind.freeText, `"${'long '.repeat(200_000)}"`);
  if (isEvery(53)) entries.set(idField, `"again \\u0000 ${random(20)}"`);
  return { fate: 'row', text: text() };
}

/** Each page is a list of its own: what is tried here is what becomes of records, not of walks. */
function serve({ stream, idField, createdField, updatedField }: Kind, payloads: readonly Payload[]): Stream {
  const lists: List[] = [];
  for (let from = 0; from < payloads.length; from += PAGE) {
    const texts = payloads.slice(from, from + PAGE).map(({ text }) => text);
    lists.push({
      id: `page.${from}`,
      walk: createSnapshotWalk(),
      async fetchPage() {
        const records = JSON.parse(`[${texts.join(',')}]`) as unknown[];
        const entries = records.map((record) => {
          if (!isObject(record)) return { id: null, createdAt: null, updatedAt: null };
          const times = { createdAt: asMs(record[createdField]), updatedAt: asMs(record[updatedField]) };
          return { id: asId(record[idField]), ...times };
        });
        return { records, entries, pageSize: null, total: records.length, serverTime: Date.now() };
      },
    });
  }
  return { ...stream, planLists: async () => lists };
}

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());

function partsOf(logger: Logger): PassParts {
  return {
    ...{ prisma: store.prisma, databaseAddress: 'test', clock: systemClock, logger },
    ...{ lookbackMs: 0, deletionLimit: 0.1 },
    privacy: createPrivacyGuard(store.prisma, { secretKey: null, journal: null }),
  };
}

function connect(stream: Stream): Connection {
  return {
    ...{ id: 'fuzz:1', source: 'fuzz', credential: 'fuzz', streams: [stream] },
    open: async () => ({ summary: 'fuzz' }),
  };
}

/** Whatever an upstream sends as a record, it costs that record at most: a row, or a line in quarantine with the reason. */
export function describePayloads(count: number): void {
  const patienceMs = 30_000 + count * 60;
  describe.each(KINDS)(`${count} payloads of all kinds as $name`, (kind) => {
    const random = createRandom(0x5eed + kind.name.length);
    const payloads = Array.from({ length: count }, (_, index) => createPayload(kind, random, index));
    const ofFate = (fate: Fate) => payloads.filter((payload) => payload.fate === fate);
    const idOf = ({ text }: Payload) => asId((JSON.parse(text) as Record<string, unknown>)[kind.idField]);

    it(
      'each become a row or a line in quarantine, and the run ends partial',
      async () => {
        const stream = serve(kind, payloads);
        const signal = new AbortController().signal;

        const result = await runPass(partsOf(unheardLogger()), {
          ...{ connection: connect(stream), stream, pass: 'backfill', signal, maxWaitMs: 1000, leaseWaitMs: 0 },
        });

        expect(result).toMatchObject({ outcome: 'partial', error: { code: 'quarantined' }, read: count });
        const rows = await store.query<{ id: string }>(`select id from ${kind.name} order by id collate "C"`);
        expect(rows.map(({ id }) => id)).toEqual([...new Set(ofFate('row').map(idOf))].sort());
        const aside = await store.query<{ record_id: string; reason: string }>(
          `select record_id, reason from sync.quarantine where stream = '${kind.name}' and resolved_at is null`,
        );
        const asideAs = (reason: string) =>
          aside.filter((line) => line.reason === reason).map((line) => line.record_id);
        expect(asideAs('refused_by_database').sort()).toEqual(ofFate('refused_by_database').map(idOf).sort());
        expect(asideAs('unmappable').sort()).toEqual(ofFate('unmappable').map(idOf).sort());
        expect(asideAs('no_id')).toHaveLength(new Set(ofFate('no_id').map(asStored)).size);
        expect(result.quarantined).toBe(count - ofFate('row').length);
      },
      patienceMs,
    );

    /** Records without an id are told apart by their text; those too deep to have one are one. */
    const asStored = ({ text }: Payload): string => {
      try {
        return JSON.stringify(kind.stream.redactRecord(JSON.parse(text))).replaceAll(
          /\\u0000|\\u[dD][0-9a-f]{3}/g,
          '?',
        );
      } catch {
        return '';
      }
    };
  });
}
