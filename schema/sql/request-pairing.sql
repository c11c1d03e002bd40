-- Asks the owner of a WhatsApp device to start a pairing; its sweep finds it. An older request is replaced. A paired device is left alone.
-- $1 device  $2 tenant, null = any  $3 the request (domain PairingRequest, JSON). Out: the device, or no row.
update devices d
set settings = d.settings || jsonb_build_object('pairing', $3::text::jsonb), changed_at = clock_timestamp()
where d.id = $1::uuid and ($2::uuid is null or d.tenant_id = $2::uuid) and d.deleted_at is null and d.transport = 'whatsapp' and not d.paired
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
