-- Cancels a message that no owner has begun to send. $1 tenant  $2 message
-- Result: no row when there is none; else its state after the statement and whether this call cancelled it. Locks as intent does.
with found as materialized (
  select m.device_id from messages m where m.id = $2::uuid and m.tenant_id = $1::uuid
), owner as materialized (
  select o.device_id from ownership o where o.device_id = (select f.device_id from found f) for no key update of o
), gate as materialized (
  select count(*) as owners from owner
), message as materialized (
  select m.id, m.device_id, m.state, m.attempt
  from messages m
  where m.id = $2::uuid and m.tenant_id = $1::uuid and (select g.owners from gate g) > 0
  for no key update of m
), moved as (
  update messages m
  set state = 'CANCELLED', ended_at = clock_timestamp(), cause = 'CANCELLED'
  from message l
  where m.id = $2::uuid and m.id = l.id and l.state = 'QUEUED'
  returning m.id, m.device_id
), owning as (
  update ownership o set ended = o.ended + 1 from moved m where o.device_id = any(array(select f.device_id from found f)) and o.device_id = m.device_id
)
select l.id, l.device_id, l.attempt, m.id is not null as cancelled, case when m.id is null then l.state else 'CANCELLED' end as state
from message l left join moved m on m.id = l.id
