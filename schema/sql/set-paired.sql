-- Notes whether a device is paired, and its phone number when that became known. $1 device  $2 paired  $3 phone (null = as it is)
-- Not of WhatsApp devices: their transport writes that itself, fenced by the owner's epoch (mark-paired.sql).
update devices d
set paired = $2, phone = coalesce($3, d.phone), changed_at = clock_timestamp()
where d.id = $1::uuid and d.deleted_at is null and d.transport <> 'whatsapp'
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
