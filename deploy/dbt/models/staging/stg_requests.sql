-- One row per conversation that counts.
select
  connection_id || ':' || id as request_key,
  connection_id,
  id as request_id,
  status_name as status,
  connection_id || ':' || lead_id as lead_key,
  channel,
  department_id,
  department,
  agents,
  closer,
  opened_at,
  opened_on,
  opened_hour,
  first_response_at,
  first_response_seconds,
  closed_at,
  closed_on,
  resolution_seconds,
  is_open,
  is_answered,
  rating
from {{ source('leadmirror', 'requests') }}
