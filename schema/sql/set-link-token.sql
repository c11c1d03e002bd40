-- Gives a device a new link token; the old one stops working. $1 tenant  $2 device  $3 SHA-256 of the token (null = none); with one it counts as paired, also after an unlink
update devices d
set link_token_hash = $3::bytea, paired = d.paired or $3::bytea is not null, changed_at = clock_timestamp()
where d.id = $2::uuid and d.tenant_id = $1::uuid and d.deleted_at is null
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
