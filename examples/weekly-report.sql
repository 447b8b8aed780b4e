-- The last seven days, for: psql "$DATABASE_URL" -f examples/weekly-report.sql
-- It reads the views of schema reporting only; a role that got leadmirror grant-readonly can run it.

-- Conversations by day and department.
select day, coalesce(department, '(none)') as department, sum(opened) as opened, sum(closed) as closed, sum(abandoned) as abandoned
from reporting.requests_daily where day > current_date - 7
group by 1, 2 order by 1, 2;

-- Time to the first response, in minutes.
select round(percentile_cont(0.5) within group (order by first_response_seconds)::numeric / 60, 1) as median_minutes,
  round(percentile_cont(0.9) within group (order by first_response_seconds)::numeric / 60, 1) as p90_minutes,
  count(first_response_seconds) as answered
from reporting.requests where opened_on > current_date - 7;

-- Who read something that we sent, and when they last talked to us.
select name, last_chat_at, last_visit_at, visits
from reporting.lead_360 where last_visit_at > now() - interval '7 days'
order by last_visit_at desc limit 20;

-- As of when these numbers are.
select relation, connection_id, as_of, lag_seconds from reporting.freshness order by relation, connection_id;
