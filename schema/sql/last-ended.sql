-- The message of each device's last intent, if it has ended: what a predecessor may have committed without publishing it. $1 devices
with last as materialized (
  select o.device_id, o.last_message_id as id from ownership o where o.device_id = any($1::uuid[]) and o.last_message_id is not null
)
select m.device_id, m.lane, m.seq, m.id, m.tenant_id, m.state, m.attempt, m.cause, floor(extract(epoch from m.ended_at) * 1000)::bigint as ended_at
from last l
join messages m on m.id = any(array(select l.id from last l)) and m.id = l.id
where m.ended_at is not null
