-- One row per person, across both products.
select
  person_key,
  name,
  email,
  company,
  leads,
  links,
  requests,
  visits,
  first_seen_at,
  last_chat_at,
  last_visit_at,
  outcome
from {{ source('leadmirror', 'lead_360') }}
