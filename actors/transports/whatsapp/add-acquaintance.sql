-- Somebody wrote to a device that starts no new chats now. In: $1 device  $2 phone (E.164)
insert into acquaintances (device_id, phone) select $1::uuid, $2::text where exists (select from devices d where d.id = $1::uuid) on conflict do nothing
