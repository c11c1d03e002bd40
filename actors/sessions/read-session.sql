-- In: $1 device. Out: creds (type and id empty) and keys of one moment.
select '' as type, '' as id, s.creds as value from sessions s where s.device_id = $1::uuid
union all
select k.type, k.id, k.value from session_keys k where k.device_id = $1::uuid
