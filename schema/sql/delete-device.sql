-- Marks a device deleted and frees its name; its ledger stays, and its link token is known to be a deleted device's. $1 tenant  $2 device
update devices d
set deleted_at = clock_timestamp(), changed_at = clock_timestamp(), name = d.name || ' (deleted ' || d.id || ')'
where d.id = $2::uuid and d.tenant_id = $1::uuid and d.deleted_at is null
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
