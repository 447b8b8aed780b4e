import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { JsonType } from '../../stream.ts';
import type { Lease } from './leases.ts';

export type DriftKind = 'new_field' | 'other_type';

/** One field that is not as it is known to be, as seen on one page. Names, types and ids; never values. */
export interface Drift {
  readonly path: string;
  readonly kind: DriftKind;
  readonly types: readonly JsonType[];
  readonly seenCount: number;
  readonly recordIds: readonly string[];
}

export const DRIFT_EXAMPLES = 10;

export async function keepDrift(
  prisma: PrismaClient,
  { connectionId, stream, runId }: Pick<Lease, 'connectionId' | 'stream' | 'runId'>,
  drift: readonly Drift[],
): Promise<void> {
  // Ordered, so that two lanes of a stream take the locks in one order. `sync.schema_drift` in the subqueries: the row
  // as it is stored.
  await prisma.$executeRaw`
    insert into sync.schema_drift (connection_id, stream, path, kind, types, seen_count, record_ids, run_id)
    select ${connectionId}, ${stream}, path, kind, types, "seenCount", "recordIds", ${runId}::bigint
    from jsonb_to_recordset(${JSON.stringify(drift)}::jsonb) as r(path text, kind text, types text[],
      "seenCount" bigint, "recordIds" text[])
    order by path, kind
    on conflict (connection_id, stream, path, kind) do update set
      types = array(select distinct unnest(sync.schema_drift.types || excluded.types) order by 1),
      seen_count = sync.schema_drift.seen_count + excluded.seen_count,
      record_ids = case when cardinality(sync.schema_drift.record_ids) >= ${DRIFT_EXAMPLES}::int
        then sync.schema_drift.record_ids
        else array(select distinct unnest(sync.schema_drift.record_ids || excluded.record_ids) order by 1
          limit ${DRIFT_EXAMPLES}::int) end,
      last_seen_at = now(), run_id = excluded.run_id`;
}
