-- Puts ended messages (DEAD or FAILED) back: QUEUED, due now, without a seq until promote-due gives a new one, with a fresh attempt budget.
-- $1 tenant  $2 messages
-- Result: the redriven. Locks as intent does; the messages count as backlog again.
with letter as materialized (
  select l.message_id, l.device_id
  from dead_letters l
  cross join lateral (select 1 from devices d where d.id = l.device_id and d.deleted_at is null limit 1) d
  where l.message_id = any($2::uuid[]) and l.tenant_id = $1::uuid and l.redriven_at is null
), owner as materialized (
  select o.device_id from ownership o where o.device_id = any(array(select l.device_id from letter l)) order by o.device_id for no key update of o
), gate as materialized (
  select count(*) as owners from owner
), message as materialized (
  select m.id, m.device_id, m.state
  from messages m
  where m.id = any($2::uuid[]) and m.tenant_id = $1::uuid and (select g.owners from gate g) > 0
  order by m.id
  for no key update of m
), moved as (
  update messages m
  set state = 'QUEUED', seq = null, due_at = clock_timestamp(), ended_at = null, cause = null, budget_from = m.attempt
  from message l
  join letter d on d.message_id = l.id
  where m.id = any($2::uuid[]) and m.id = l.id and l.state in ('DEAD', 'FAILED')
  returning m.id, m.device_id, m.attempt
), marked as (
  update dead_letters l set redriven_at = clock_timestamp(), redrives = l.redrives + 1
  from moved m
  where l.message_id = any($2::uuid[]) and l.message_id = m.id
), owning as (
  update ownership o set ended = o.ended - n.messages
  from (select device_id, count(*) as messages from moved group by device_id) n
  where o.device_id = any(array(select l.device_id from letter l)) and o.device_id = n.device_id
)
select m.id as message_id, m.device_id, m.attempt from moved m order by m.id
