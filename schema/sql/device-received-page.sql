-- What one device received, newest first. $1 tenant  $2-$4 cursor: received (µs), device, id (null = from the newest)  $5 most  $6 device
select i.device_id, i.id, i.sender, i.sender_lid, i.body, i.media, floor(extract(epoch from i.received_at) * 1000000)::bigint as received_micros
from inbound_messages i
where i.device_id = $6::uuid and i.tenant_id = $1::uuid
  and i.received_at <= coalesce(timestamptz 'epoch' + $2::bigint * interval '1 microsecond', 'infinity')
  and ($2::bigint is null or i.received_at < timestamptz 'epoch' + $2::bigint * interval '1 microsecond' or (i.device_id, i.id) > ($3::uuid, $4::text))
order by i.received_at desc, i.id
limit $5
