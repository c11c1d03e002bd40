-- A page of a tenant's messages, newest first. $1 tenant  $2 before this id (null = from the newest)  $3 most
select m.id, m.tenant_id, m.device_id, m.lane, m.seq, m.state, m.attempt as attempts, m.recipient, m.body, m.content, m.cause, m.last_error,
  floor(extract(epoch from m.due_at) * 1000)::bigint as due_at, floor(extract(epoch from m.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from m.sent_at) * 1000)::bigint as sent_at, floor(extract(epoch from m.delivered_at) * 1000)::bigint as delivered_at,
  floor(extract(epoch from m.read_at) * 1000)::bigint as read_at, floor(extract(epoch from m.ended_at) * 1000)::bigint as ended_at
from messages m
where m.tenant_id = $1::uuid and m.id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by m.id desc
limit $3
