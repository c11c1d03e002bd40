-- In: $1 device, $2 wall ms of the request. Out: one row {id}, or none when there is no such WhatsApp device. The owner's sweep finds it.
update devices
set settings = settings || jsonb_build_object('pairing', jsonb_build_object('requestedAt', $2::bigint)), changed_at = now()
where id = $1::uuid and transport = 'whatsapp' and deleted_at is null
returning id
