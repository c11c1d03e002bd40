-- Pauses or resumes a device. $1 tenant  $2 device  $3 paused  $4 reason
update devices d
set paused = $3, pause_reason = case when $3 then $4::text end, changed_at = clock_timestamp()
where d.id = $2::uuid and d.tenant_id = $1::uuid and d.deleted_at is null
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
