-- A file that came with a message. $1 device  $2 message
select i.tenant_id, i.sender, i.sender_lid, i.media from inbound_messages i where i.device_id = $1::uuid and i.id = $2::text and i.media is not null
