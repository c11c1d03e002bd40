-- In: $1 device. Out: the sealed creds, or no row. Reading is not fenced: a stale owner learns nothing that it may act on.
select creds from sessions where device_id = $1::uuid
