-- One received message, with its device's settings and transport. $1 tenant  $2 device  $3 id
select i.device_id, i.id, i.sender, i.sender_lid, i.body, i.media, floor(extract(epoch from i.received_at) * 1000000)::bigint as received_micros,
  coalesce(d.settings, '{}') as device_settings, d.transport
from inbound_messages i
left join devices d on d.id = i.device_id
where i.device_id = $2::uuid and i.id = $3::text and i.tenant_id = $1::uuid
