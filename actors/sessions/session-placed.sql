-- The owner lets the device go and whoever takes it next begins with the session that was put in place. In: $1 device, $2 now (ms).
update devices
set settings = settings || jsonb_build_object('restoredAt', $2::float8::bigint), changed_at = clock_timestamp()
where id = $1::uuid
