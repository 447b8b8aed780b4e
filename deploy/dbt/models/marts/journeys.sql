-- From the first contact to the signature: one row per person, with the links that were made for them.
with links as (
  select
    person_key,
    min(sent_at) as first_sent_at,
    min(first_opened_at) as first_opened_at,
    bool_or(is_opened) as is_opened,
    bool_or(is_signed) as is_signed,
    sum(time_read_seconds) as time_read_seconds
  from {{ ref('stg_links') }}
  group by person_key
)
select
  p.person_key,
  p.name,
  p.email,
  p.company,
  case
    when p.leads > 0 and p.links > 0 then 'both'
    when p.leads > 0 then 'tiledesk'
    else 'tilkee'
  end as seen_in,
  case
    when coalesce(l.is_signed, false) then 'signed'
    when coalesce(l.is_opened, false) then 'opened'
    when p.links > 0 then 'sent'
    when p.requests > 0 then 'chatted'
    else 'known'
  end as stage,
  p.outcome,
  p.requests,
  p.visits,
  coalesce(l.time_read_seconds, 0) as time_read_seconds,
  p.first_seen_at,
  l.first_sent_at,
  l.first_opened_at,
  greatest(p.last_chat_at, p.last_visit_at) as last_contact_at
from {{ ref('stg_people') }} p
left join links l on l.person_key = p.person_key
