-- Support by day, department and channel: what came, how much of it was answered, and how fast.
select
  connection_id || ':' || opened_on || ':' || coalesce(department_id, '') || ':' || coalesce(channel, '') as day_key,
  connection_id,
  opened_on as day,
  department_id,
  max(department) as department,
  channel,
  count(*) as opened,
  count(*) filter (where is_answered) as answered,
  count(*) filter (where status = 'closed') as closed,
  count(*) filter (where status = 'abandoned') as abandoned,
  percentile_cont(0.5) within group (order by first_response_seconds) as first_response_median_seconds,
  percentile_cont(0.9) within group (order by first_response_seconds) as first_response_p90_seconds,
  percentile_cont(0.5) within group (order by resolution_seconds) as resolution_median_seconds,
  avg(rating) as average_rating
from {{ ref('stg_requests') }}
where opened_on is not null
group by connection_id, opened_on, department_id, channel
