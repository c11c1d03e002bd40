-- Stores inbound messages once per (device, id). $1 device  $2 id  $3 tenant  $4 sender  $5 sender LID  $6 body  $7 received (ms)
-- $8 media (JSON, null = none)
-- Result: those stored by this call; the others were there already.
insert into inbound_messages as m (device_id, id, tenant_id, sender, sender_lid, body, received_at, media)
select i.device_id, i.id, i.tenant_id, i.sender, i.sender_lid, i.body, to_timestamp(i.received_ms / 1000.0), i.media::jsonb
from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::text[])
  as i (device_id, id, tenant_id, sender, sender_lid, body, received_ms, media)
order by i.device_id, i.id
on conflict (device_id, id) do nothing
returning m.device_id, m.id
