import { randomUUID } from 'node:crypto';
import { PrismaPg } from '@prisma/adapter-pg';
import type { SqlQuery, SqlQueryable } from '@prisma/driver-adapter-utils';
import type { Tracer } from '../trace.ts';
import { traceStatements } from './traced-sql.ts';

/**
 * Large parameters by reference. Prisma writes the parameters of a raw query as JSON and reads them back before it hands them to the driver: for the
 * text of a page that is a fifth of the time of writing it, and two more copies in memory. So the statement gets a short reference, and the driver adapter,
 * the last step before the wire, puts the text in its place.
 *
 * It puts it there as an object that the driver asks for the text and that is emptied afterwards: the adapter keeps the parameters of its last hundred
 * statements, for messages that nobody sees (7.10), and with them it would keep fifty pages.
 */
export class LargeTexts {
  readonly #texts = new Map<string, LentText>();
  /** Random, so that no text from upstream can be taken for a reference. */
  readonly #prefix = `text ${randomUUID()} `;
  #last = 0;

  /** Runs `work` with a reference that stands for the text in any statement sent meanwhile. */
  async lend<T>(text: string, work: (reference: string) => Promise<T>): Promise<T> {
    this.#last += 1;
    const reference = `${this.#prefix}${this.#last}`;
    const lent = new LentText(text);
    this.#texts.set(reference, lent);
    try {
      return await work(reference);
    } finally {
      this.#texts.delete(reference);
      lent.forget();
    }
  }

  resolve(query: SqlQuery): SqlQuery {
    if (this.#texts.size === 0) return query;
    const args = query.args.map((arg) => (typeof arg === 'string' ? (this.#texts.get(arg) ?? arg) : arg));
    return { ...query, args };
  }
}

/** `toPostgres` is what node-postgres calls on any object that is a parameter. */
class LentText {
  #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toPostgres(): string {
    return this.#text;
  }

  forget(): void {
    this.#text = '';
  }
}

/** Which client's adapter resolves which texts; goes with the client. */
const textsOfClient = new WeakMap<object, LargeTexts>();

export function attachLargeTexts(client: object, texts: LargeTexts): void {
  textsOfClient.set(client, texts);
}

/** Lends a text to statements of this client; a client without the adapter below gets the text itself. */
export function lendText<T>(client: object, text: string, work: (parameter: string) => Promise<T>): Promise<T> {
  return textsOfClient.get(client)?.lend(text, work) ?? work(text);
}

/** The usual adapter, with large texts put in their places. */
export class PrismaPgWithLargeTexts extends PrismaPg {
  readonly #texts: LargeTexts;
  /** Set where traces are wanted. */
  tracer: Tracer | undefined;

  constructor(texts: LargeTexts, ...options: ConstructorParameters<typeof PrismaPg>) {
    super(...options);
    this.#texts = texts;
  }

  override async connect(): ReturnType<PrismaPg['connect']> {
    const connection = await super.connect();
    const startTransaction = connection.startTransaction.bind(connection);
    connection.startTransaction = async (isolationLevel) => this.#resolving(await startTransaction(isolationLevel));
    return this.#resolving(connection);
  }

  #resolving<T extends SqlQueryable>(queryable: T): T {
    const queryRaw = queryable.queryRaw.bind(queryable);
    queryable.queryRaw = (query) => queryRaw(this.#texts.resolve(query));
    return this.tracer === undefined ? queryable : traceStatements(queryable, this.tracer);
  }
}
