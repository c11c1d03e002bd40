-- A tenant's devices, backlog, and sends and failures of the last whole minute of buckets. $1 tenant  $2 now (ms)
select
  (select count(*) from devices d where d.tenant_id = $1::uuid and d.deleted_at is null) as devices,
  coalesce((
    select sum(c.accepted) from lane_counters c
    where c.device_id = any(array(select d.id from devices d where d.tenant_id = $1::uuid and d.deleted_at is null))
  ), 0)::bigint - coalesce((
    select sum(o.ended) from ownership o
    where o.device_id = any(array(select d.id from devices d where d.tenant_id = $1::uuid and d.deleted_at is null))
  ), 0)::bigint as backlog,
  coalesce(t.sent, 0)::bigint as sent,
  coalesce(t.failed, 0)::bigint as failed
from (
  select sum(f.sent) as sent, sum(f.failed) as failed
  from traffic f
  where f.tenant_id = $1::uuid and f.bucket > to_timestamp($2::float8 / 1000.0) - interval '60 seconds' and f.bucket <= to_timestamp($2::float8 / 1000.0)
) t
