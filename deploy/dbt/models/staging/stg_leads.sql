-- One row per lead that is there: not deleted, not erased, not temporary.
select
  connection_id || ':' || id as lead_key,
  connection_id,
  id as lead_id,
  status_name as status,
  nullif(fullname, '') as name,
  lower(nullif(email, '')) as email,
  nullif(phone, '') as phone,
  nullif(company, '') as company,
  tags,
  created_at,
  updated_at
from {{ source('tiledesk', 'leads_current') }}
where status is distinct from 50
