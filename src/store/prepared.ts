import type { SqlQuery } from '@prisma/driver-adapter-utils';

const MARK = /^\s*\/\* prepared: ([a-z_]+) \*\//;

/**
 * Statements that the database keeps parsed and planned for as long as a connection lives; behind a pooler none is. Only those that are asked with every request
 * and whose best plan does not depend on how much the tables hold: a plan made while a table was young would be kept. They say so themselves, by a comment at
 * their beginning: `prepared: name`, one name for one text.
 */
export class PreparedStatements {
  #mayPrepare: boolean | null = null;

  /** To be called for every new connection: whether it leads to the server itself. */
  allowOn(isDirect: boolean): void {
    this.#mayPrepare = isDirect && this.#mayPrepare !== false;
  }

  /** Empty: to be sent as it is. */
  nameOf({ sql }: Pick<SqlQuery, 'sql'>): string {
    const name = this.#mayPrepare === true ? MARK.exec(sql)?.[1] : undefined;
    return name === undefined ? '' : `leadmirror_${name}`;
  }
}
