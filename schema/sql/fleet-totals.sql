-- What is kept of a tenant's fleet, and its sends and failures of the last whole minute of buckets. $1 tenant  $2 now (ms)
-- Result: one row; devices, backlog, age_ms and took_ms are null when nothing is kept.
select f.devices, f.backlog, f.took_ms::float8 as took_ms,
  extract(epoch from clock_timestamp() - f.counted_at)::float8 * 1000 as age_ms,
  coalesce(t.sent, 0)::bigint as sent,
  coalesce(t.failed, 0)::bigint as failed
from (
  select sum(f.sent) as sent, sum(f.failed) as failed
  from traffic f
  where f.tenant_id = $1::uuid and f.bucket > to_timestamp($2::float8 / 1000.0) - interval '60 seconds' and f.bucket <= to_timestamp($2::float8 / 1000.0)
) t
left join fleet_totals f on f.tenant_id = $1::uuid
