-- Changes a device's settings; null leaves a value as it is. $1 tenant  $2 device  $3 name  $4 pace min  $5 pace max  $6 change the cap?
-- $7 daily cap (null = none)  $8 settings (merged). A time zone that is not known here is an error (22023): the intent could not read it.
update devices d
set name = coalesce($3, d.name), pace_min_ms = coalesce($4::integer, d.pace_min_ms), pace_max_ms = coalesce($5::integer, d.pace_max_ms),
  daily_cap = case when $6::boolean then $7::integer else d.daily_cap end, settings = d.settings || coalesce($8::text::jsonb, '{}'),
  changed_at = clock_timestamp()
where d.id = $2::uuid and d.tenant_id = $1::uuid and d.deleted_at is null
  and quiet_until($8::text::jsonb -> 'quietHours', now()) is distinct from '-infinity'
returning d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
