-- Gives a quarantined device back and forgets its crashes. $1 tenant  $2 device
with released as (
  update devices d
  set quarantined = false, quarantine_reason = null, changed_at = clock_timestamp()
  where d.id = $2::uuid and d.tenant_id = $1::uuid and d.quarantined and d.deleted_at is null
  returning d.*
), owning as (
  update ownership o set crashes = 0 from released d where o.device_id = $2::uuid and o.device_id = d.id
)
select d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
from released d
