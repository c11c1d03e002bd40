-- In: $1 device, $2 key type, $3 ids. Out: one row per key that is there.
select id, value from session_keys where device_id = $1::uuid and type = $2::text and id = any($3::text[])
