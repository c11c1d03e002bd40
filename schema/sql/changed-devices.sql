-- Devices whose row changed at or after a moment, deleted ones too. A change becomes visible a moment after its changed_at, so callers
-- overlap their questions by some seconds. $1 since (ms)
select d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
from devices d
where d.changed_at >= to_timestamp($1::float8 / 1000.0)
order by d.changed_at
