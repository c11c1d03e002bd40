-- What came of sends: a batch of results in any mixture, several for one message allowed.
-- $1 message  $2 device  $3 epoch  $4 attempt  $5 state  $6 cause  $7 error  $8 due (ms or null)  $9 at (ms)
-- Result: one row per item, in input order. Guarantees:
--  R1 ownership rows are locked first, in device order, then message rows in id order: the same order as intent, so they never deadlock;
--  R2 proof of delivery (SENT, DELIVERED, READ) counts whatever attempt it belongs to, if the rank rises;
--  R3 every other result counts only for the (epoch, attempt) that the message carries, and while its outcome is open;
--  R4 of several for one message the strongest holds: READ, DELIVERED, SENT, DEAD, FAILED, QUEUED, UNKNOWN, WRITTEN;
--  R5 a message is counted as ended once, when it crosses from an open state into an ended one;
--  R6 a completed turn clears the device's crash count only under the present epoch.
with item as materialized (
  select i.*, to_timestamp(i.at_ms / 1000.0) as at,
    case i.state when 'READ' then 8 when 'DELIVERED' then 7 when 'SENT' then 6 when 'DEAD' then 5 when 'FAILED' then 4 when 'QUEUED' then 3
      when 'UNKNOWN' then 2 else 1 end as strength
  from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::integer[], $5::message_state[], $6::text[], $7::text[], $8::float8[], $9::float8[])
    with ordinality as i (message_id, device_id, epoch, attempt, state, cause, error, due_ms, at_ms, ord)
), owner as materialized (
  select o.device_id, o.epoch, o.crashes
  from ownership o
  where o.device_id = any($2::uuid[])
  order by o.device_id
  for no key update of o
), gate as materialized (
  select count(*) as owners from owner
), message as materialized (
  select m.id, m.tenant_id, m.device_id, m.state, m.epoch, m.attempt
  from messages m
  where m.id = any($1::uuid[]) and (select g.owners from gate g) > 0
  order by m.id
  for no key update of m
), judged as materialized (
  select i.ord, i.message_id, i.device_id, i.epoch as item_epoch, i.state as said, i.cause, i.error, i.due_ms, i.at, i.strength,
    m.state as was, m.tenant_id, m.attempt,
    row_number() over (partition by i.message_id, i.state order by i.ord) as nth,
    coalesce(case
      -- there is no such message (its partition was dropped): every comparison below would be unknown, not false
      when m.state is null then false
      when i.state in ('SENT', 'DELIVERED', 'READ') then i.state > m.state
      when m.epoch <> i.epoch or m.attempt <> i.attempt then false -- fence
      when m.state not in ('SENDING', 'WRITTEN', 'UNKNOWN') then false
      when i.state = 'QUEUED' then true
      else i.state > m.state
    end, false) as valid
  from item i
  left join message m on m.id = i.message_id and m.device_id = i.device_id
), chosen as materialized (
  select distinct on (j.message_id) j.*
  from judged j
  where j.valid
  order by j.message_id, j.strength desc, j.ord
), proof as materialized (
  select j.message_id,
    min(j.at) filter (where j.said >= 'SENT') as sent_at,
    min(j.at) filter (where j.said >= 'DELIVERED') as delivered_at,
    min(j.at) filter (where j.said = 'READ') as read_at
  from judged j
  where j.valid and j.said >= 'SENT'
  group by j.message_id
), moved as (
  update messages m
  set state = c.said,
    -- due and at are of one clock, the node's; how far apart they are counts from now, by this one
    due_at = case when c.said <> 'QUEUED' then m.due_at
      else now() + coalesce(greatest(to_timestamp(c.due_ms / 1000.0) - c.at, interval '0'), interval '0') end,
    sent_at = coalesce(m.sent_at, p.sent_at),
    delivered_at = coalesce(m.delivered_at, p.delivered_at),
    read_at = coalesce(m.read_at, p.read_at),
    ended_at = case when c.said > 'UNKNOWN' then coalesce(m.ended_at, c.at) end,
    cause = case when c.said >= 'SENT' then null else c.cause end,
    last_error = coalesce(c.error, m.last_error)
  from chosen c
  left join proof p on p.message_id = c.message_id
  where m.id = any($1::uuid[]) and m.id = c.message_id
  returning m.id, m.tenant_id, m.device_id, m.state, m.attempt, m.cause, m.last_error
), buried as (
  insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts, last_error)
  select m.id, m.tenant_id, m.device_id, m.state, coalesce(m.cause, 'UNSPECIFIED'), m.attempt, m.last_error
  from moved m
  where m.state in ('FAILED', 'DEAD')
  on conflict (message_id) do update
    set state = excluded.state, cause = excluded.cause, attempts = excluded.attempts, last_error = excluded.last_error,
      created_at = now(), redriven_at = null
), raised as (
  delete from dead_letters l
  using chosen c
  where l.message_id = any($1::uuid[]) and l.message_id = c.message_id and c.said >= 'SENT'
), tally as materialized (
  select c.device_id,
    count(*) filter (where c.said > 'UNKNOWN' and c.was <= 'UNKNOWN') as ended,
    bool_or(c.said not in ('WRITTEN', 'UNKNOWN') and c.item_epoch = o.epoch and o.crashes > 0) as completed
  from chosen c
  join owner o on o.device_id = c.device_id
  group by c.device_id
), owning as (
  update ownership o
  set ended = o.ended + t.ended, crashes = case when t.completed then 0 else o.crashes end
  from tally t
  where o.device_id = any($2::uuid[]) and o.device_id = t.device_id and (t.ended > 0 or t.completed)
)
select j.message_id,
  j.valid and j.nth = 1 and (j.said >= 'SENT' or j.said = 'WRITTEN' or c.ord = j.ord) as counted,
  coalesce(c.said, j.was) as state,
  j.tenant_id,
  coalesce(j.attempt, 0) as attempt
from judged j
left join chosen c on c.message_id = j.message_id
order by j.ord
