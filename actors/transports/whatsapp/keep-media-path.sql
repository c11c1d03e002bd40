-- Where a file is now that the phone has uploaded it again. $1 device  $2 message  $3 path
update inbound_messages i set media = jsonb_set(i.media, '{path}', to_jsonb($3::text))
where i.device_id = $1::uuid and i.id = $2::text and i.media is not null
