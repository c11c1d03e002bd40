-- Devices of one tenant by id. $1 tenant  $2 ids  $3 deleted ones too
select d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
from devices d
where d.id = any($2::uuid[]) and d.tenant_id = $1::uuid and ($3::boolean or d.deleted_at is null)
order by d.id
