-- Writes down what the provider said of a device's account. In: $1 device  $2 epoch  $3 what (JSON, merged). Out: one row {id}, unless somebody
-- else owns the device.
update devices d
set settings = jsonb_set(d.settings, '{standing}', coalesce(d.settings -> 'standing', '{}') || $3::text::jsonb), changed_at = clock_timestamp()
where d.id = $1::uuid and exists (select from ownership o where o.device_id = $1::uuid and o.epoch = $2::bigint)
returning d.id
