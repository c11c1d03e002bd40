-- Tenants by id, or all. $1 ids (null = all)
select t.id, t.name, t.time_zone, t.max_backlog, t.default_region, floor(extract(epoch from t.created_at) * 1000)::bigint as created_at
from tenants t
where $1::uuid[] is null or t.id = any($1::uuid[])
order by t.id
