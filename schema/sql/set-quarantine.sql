-- Takes a device out of service because it ends nodes; releaseDevice gives it back. $1 device  $2 reason
update devices d
set quarantined = true, quarantine_reason = $2, changed_at = clock_timestamp()
where d.id = $1::uuid and not d.quarantined and d.deleted_at is null
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
