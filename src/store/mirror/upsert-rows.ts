import type { Prisma } from '../../generated/prisma/client.ts';
import type { Row, TableSpec } from '../../stream.ts';
import { bindBytes } from '../driver-adapter.ts';
import { encodeRows } from './page-json.ts';
import { type UpsertValues, upsertSql } from './pages.ts';

/** Writes rows without a page: a record that was in quarantine, or a trial that is rolled back. */
export const upsertRows = (
  tx: Prisma.TransactionClient,
  table: TableSpec,
  rows: readonly Row[],
  values: UpsertValues,
): Promise<unknown> => bindBytes(encodeRows(rows), (json) => tx.$queryRaw(upsertSql(table, json, values)));
