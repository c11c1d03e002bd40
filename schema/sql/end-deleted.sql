-- Ends messages of a device that was deleted: what waits is CANCELLED; an attempt whose outcome has been open for a minute is DEAD, because nobody
-- is left to hear of it. $1 device  $2 most
-- Result: the messages ended. Locks as intent does.
with owner as materialized (
  select o.device_id
  from ownership o
  where o.device_id = $1::uuid and exists (select 1 from devices d where d.id = $1::uuid and d.deleted_at is not null)
  for no key update of o
), gate as materialized (
  select count(*) as owners from owner
), message as materialized (
  select m.id, m.state
  from messages m
  where m.device_id = $1::uuid and (select g.owners from gate g) > 0
    and (m.state = 'QUEUED'
      or (m.state in ('SENDING', 'WRITTEN', 'UNKNOWN') and coalesce(m.intent_at, m.created_at) < clock_timestamp() - interval '1 minute'))
  order by m.id
  limit $2
  for no key update of m
), moved as (
  update messages m
  set state = case l.state when 'QUEUED' then 'CANCELLED'::message_state else 'DEAD' end, ended_at = clock_timestamp(),
    cause = case l.state when 'QUEUED' then 'DEVICE_DELETED' else 'OUTCOME_UNKNOWN' end
  from message l
  where m.id = any(array(select l.id from message l)) and m.id = l.id
  returning m.id, m.tenant_id, m.device_id, m.state, m.cause, m.attempt, m.last_error
), buried as (
  insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts, last_error)
  select m.id, m.tenant_id, m.device_id, m.state, m.cause, m.attempt, m.last_error from moved m where m.state = 'DEAD'
  on conflict (message_id) do nothing
), owning as (
  update ownership o set ended = o.ended + n.messages from (select count(*) as messages from moved) n where o.device_id = $1::uuid and n.messages > 0
)
select m.id as message_id, m.device_id, m.tenant_id, m.state, m.cause, m.attempt from moved m order by m.id
