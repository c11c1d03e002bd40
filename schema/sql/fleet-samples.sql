-- Most and last backlog of a tenant per step, from the samples of each minute. $1 tenant  $2 grain (s)  $3 from (ms)
select (floor(extract(epoch from s.at) / $2::integer) * $2::integer * 1000)::bigint as start, max(s.backlog) as backlog, max(s.devices) as devices
from fleet_samples s
where s.tenant_id = $1::uuid and s.at >= to_timestamp($3::float8 / 1000.0)
group by 1
order by 1
