import type { TableSpec } from '../../stream.ts';

/**
 * What a role without personal data may read, column by column: whatever is not named here or in the declaration of a
 * table stays closed, so that a new column, table or view opens nothing by itself. Ids stay: they name no person without
 * the closed columns.
 */

/** In every mirrored table: not `raw`, and not `content_hash`, which would confirm a guess of it. */
const COMMON = [
  ...['connection_id', 'id', 'text_repaired', 'first_seen_at', 'synced_at', 'deleted_at', 'erased_at', 'run_id'],
  ...['created_at', 'updated_at'],
];

export const openColumns = ({ impersonal = [], personal }: TableSpec): string[] => [
  ...new Set([...COMMON, ...impersonal, ...(personal?.kept ?? [])]),
];

/** Reports: sums, times and states. No name of a lead, link, project or colleague, no key that is made of an address. */
export const OPEN_REPORTS: Readonly<Record<string, string>> = {
  'reporting.requests_daily': 'connection_id day channel department_id department opened closed abandoned as_of',
  'reporting.csat':
    'connection_id day channel department_id department opened rated satisfied rating_sum average_rating satisfied_percent as_of',
  'reporting.response_times':
    'connection_id month dimension key requests answered first_response_median_seconds first_response_p90_seconds resolved ' +
    'resolution_median_seconds resolution_p90_seconds as_of first_response_business_median_seconds first_response_business_p90_seconds',
  'reporting.agent_activity':
    'connection_id day agent_id requests answered closed rated rating_sum average_rating as_of',
  'reporting.lead_funnel': 'connection_id day leads with_request answered closed rated as_of',
  'reporting.open_backlog':
    'connection_id department_id department channel status open unanswered oldest_opened_at under_1_hour under_1_day ' +
    'under_7_days older as_of',
  'reporting.requests':
    'connection_id id status opened_at opened_on opened_hour first_response_at closed_at closed_on is_open is_answered ' +
    'first_response_seconds resolution_seconds rating channel department_id department agent_ids closer_id as_of ' +
    'first_response_business_seconds',
  'reporting.link_engagement':
    'connection_id link_id project_id creator_id sent_at sent_on archived_at is_opened first_opened_at last_opened_at visits ' +
    'time_read_seconds percent_read is_signed is_downloaded interest verdict as_of',
  'reporting.backlog_daily':
    'connection_id day department_id department channel open unassigned open_least open_most closed reopened is_estimated as_of',
  'reporting.status_times':
    'connection_id id opened_at unassigned_ms unassigned_ms_least unassigned_ms_most assigned_ms assigned_ms_least ' +
    'assigned_ms_most reopened reassigned as_of',
  'reporting.freshness': 'relation connection_id reads as_of refreshed_at lag_seconds',
  'reporting.settings': 'connection_id time_zone business_hours',
  'reporting.refreshes': 'id refreshed_at rebuilt_at',
  'sync.status':
    'connection_id stream state reason reason_code since running_pass last_success_at as_of lag_seconds backfill_completed_at ' +
    'open_quarantine notice verified_at verified_rows verified_share verification_differences verification_settled ' +
    'proof_kind proof_at unlisted_rows',
  'sync.runs':
    'id connection_id stream pass outcome requests pages read created updated unchanged deleted quarantined idle_runs ' +
    'error_code started_at ended_at',
  'sync.verifications':
    'connection_id stream verified_at upstream_rows compared_rows missing stale extra different repaired started_at',
};
