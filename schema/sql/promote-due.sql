-- Gives a seq to messages without one (scheduled or redriven) whose time has come, oldest due first. $1 most messages.
-- Result: the promoted, as mailbox entries. Guarantee: counter rows are locked in (device, lane) order and held to the commit, as in accept;
-- several callers at once promote different messages.
with due as materialized (
  select m.id, m.device_id, m.lane, m.due_at, m.traceparent
  from messages m
  where m.state = 'QUEUED' and m.seq is null and m.due_at <= now()
  order by m.due_at
  limit $1
  for no key update of m skip locked
), locked as materialized (
  select c.device_id, c.lane, c.next_seq
  from lane_counters c
  where c.device_id = any(array(select d.device_id from due d)) and (c.device_id, c.lane) in (select d.device_id, d.lane from due d)
  order by c.device_id, c.lane
  for no key update of c
), numbered as materialized (
  select d.id, d.device_id, d.lane, d.traceparent,
    l.next_seq - 1 + row_number() over (partition by d.device_id, d.lane order by d.due_at, d.id) as seq
  from due d join locked l on l.device_id = d.device_id and l.lane = d.lane
), counted as (
  update lane_counters c
  set next_seq = c.next_seq + n.promoted
  from (select device_id, lane, count(*) as promoted from numbered group by device_id, lane) n
  where c.device_id = any(array(select d.device_id from due d)) and c.device_id = n.device_id and c.lane = n.lane
), moved as (
  update messages m set seq = n.seq from numbered n where m.id = any(array(select d.id from due d)) and m.id = n.id
)
select n.device_id, n.lane, n.seq, n.id as message_id, n.traceparent from numbered n order by n.device_id, n.lane, n.seq
