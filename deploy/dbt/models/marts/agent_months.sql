-- Workload by agent and month of opening. A conversation with several agents counts for each.
select
  r.connection_id || ':' || date_trunc('month', r.opened_on)::date || ':' || a.agent as month_key,
  r.connection_id,
  date_trunc('month', r.opened_on)::date as month,
  a.agent,
  count(*) as requests,
  count(*) filter (where r.is_answered) as answered,
  count(*) filter (where r.closer = a.agent) as closed,
  count(*) filter (where r.is_open) as open,
  percentile_cont(0.5) within group (order by r.first_response_seconds) as first_response_median_seconds,
  avg(r.rating) as average_rating
from {{ ref('stg_requests') }} r
cross join lateral (select distinct unnest(r.agents) as agent) a
where r.opened_on is not null
group by r.connection_id, date_trunc('month', r.opened_on)::date, a.agent
