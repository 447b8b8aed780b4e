-- One row per Tilkee link.
select
  connection_id || ':' || link_id as link_key,
  connection_id,
  link_id,
  name,
  project_id,
  project,
  creator,
  person_key,
  sent_at,
  sent_on,
  first_opened_at,
  last_opened_at,
  is_opened,
  is_signed,
  visits,
  time_read_seconds,
  percent_read,
  verdict
from {{ source('leadmirror', 'link_engagement') }}
