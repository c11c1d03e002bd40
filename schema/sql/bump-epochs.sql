-- Mints a new epoch for each device whose epoch is still the one that was read before its lease was taken.
-- $1 device  $2 epoch read  $3 crash takeover?  $4 node
-- Result: the devices won, with their new epoch and crash count. Guarantee: of several callers with the same pair one wins.
-- Rows are locked in device order. `crashes` rises when a crash takeover finds a message in SENDING under the epoch that was read: the last owner
-- died in a turn of its own. A message in SENDING under a lower epoch is a turn that it never came to adopt: it was counted when its owner died.
with pair as materialized (
  select * from unnest($1::uuid[], $2::bigint[], $3::boolean[]) as p (device_id, epoch, crash)
), in_turn as materialized (
  select distinct m.device_id, m.epoch from messages m where m.device_id = any($1::uuid[]) and m.state = 'SENDING'
), locked as materialized (
  select o.device_id, o.epoch from ownership o where o.device_id = any($1::uuid[]) order by o.device_id for no key update of o
), won as materialized (
  select l.device_id, p.crash and t.device_id is not null as died
  from locked l
  join pair p on p.device_id = l.device_id
  left join in_turn t on t.device_id = l.device_id and t.epoch = l.epoch
  where l.epoch = p.epoch
)
update ownership o
set epoch = o.epoch + 1, node = $4, acquired_at = clock_timestamp(), crashes = o.crashes + case when w.died then 1 else 0 end
from won w
where o.device_id = any($1::uuid[]) and o.device_id = w.device_id
returning o.device_id, o.epoch, o.crashes
