-- Fails where the mart and the staging model disagree on how many conversations there were.
select s.requests, m.requests as in_mart
from (select count(*) as requests from {{ ref('stg_requests') }} where opened_on is not null) s
cross join (select coalesce(sum(opened), 0) as requests from {{ ref('service_daily') }}) m
where s.requests <> m.requests
