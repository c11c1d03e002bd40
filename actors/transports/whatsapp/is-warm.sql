-- In: $1 device, $2 number (E.164). Out: one row when the two know each other: it wrote to the device, one of the device's last 5,000 messages reached it,
-- or it is written down as known.
select 1 as warm
where exists (select from acquaintances a where a.device_id = $1::uuid and a.phone = $2::text)
  or exists (select from inbound_messages i where i.device_id = $1::uuid and i.sender = $2::text)
  or exists (
    select from (select r.recipient, r.state from messages r where r.device_id = $1::uuid order by r.id desc limit 5000) m
    where m.recipient = $2::text and m.state in ('DELIVERED', 'READ')
  )
