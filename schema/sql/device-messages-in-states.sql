-- A page of one device's messages in some states, newest first, among its next $5 messages (see messages-in-states.sql).
-- $1 tenant  $2 device  $3 before this id (null = from the newest)  $4 states  $5 most looked at  $6 most
-- Result: the messages, each with `until`, the last id looked at (null = there are no more); when none fits, one row without a message.
with looked as materialized (
  select (
    select m.id from messages m
    where m.device_id = $2::uuid and m.tenant_id = $1::uuid and m.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by m.id desc
    offset $5::integer - 1 limit 1
  ) as until
)
select l.until, f.*
from looked l
left join lateral (
  select m.id, m.tenant_id, m.device_id, m.lane, m.seq, m.state, m.attempt as attempts, m.recipient, m.body, m.content, m.cause, m.last_error,
    floor(extract(epoch from m.due_at) * 1000)::bigint as due_at, floor(extract(epoch from m.created_at) * 1000)::bigint as created_at,
    floor(extract(epoch from m.sent_at) * 1000)::bigint as sent_at, floor(extract(epoch from m.delivered_at) * 1000)::bigint as delivered_at,
    floor(extract(epoch from m.read_at) * 1000)::bigint as read_at, floor(extract(epoch from m.ended_at) * 1000)::bigint as ended_at
  from messages m
  where m.device_id = $2::uuid and m.tenant_id = $1::uuid and m.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    and m.id >= coalesce(l.until, '00000000-0000-0000-0000-000000000000') and m.state = any($4::message_state[])
  order by m.id desc
  limit $6
) f on true
order by f.id desc
