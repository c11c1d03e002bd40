-- One received message. $1 tenant  $2 device  $3 id
select i.device_id, i.id, i.sender, i.sender_lid, i.body, i.media, floor(extract(epoch from i.received_at) * 1000000)::bigint as received_micros
from inbound_messages i
where i.device_id = $2::uuid and i.id = $3::text and i.tenant_id = $1::uuid
