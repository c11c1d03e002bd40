-- A new owner takes over what its predecessors left in flight: SENDING, WRITTEN and UNKNOWN of a lower epoch become UNKNOWN under the
-- owner's epoch, so that only the owner's results of that attempt (and proof of delivery, from anybody) count from here on.
-- $1 device  $2 the owner's epoch
-- Result: the adopted messages. Guarantee: nothing is adopted for an epoch that is not the device's present one.
with pair as materialized (
  select * from unnest($1::uuid[], $2::bigint[]) as p (device_id, epoch)
), locked as materialized (
  select o.device_id, o.epoch from ownership o where o.device_id = any($1::uuid[]) order by o.device_id for no key update of o
), owned as materialized (
  select l.device_id, p.epoch
  from locked l join pair p on p.device_id = l.device_id
  where true
    and l.epoch = p.epoch -- fence
)
update messages m
set state = 'UNKNOWN', epoch = w.epoch
from owned w
where m.device_id = any($1::uuid[]) and m.state in ('SENDING', 'WRITTEN', 'UNKNOWN') and m.device_id = w.device_id and m.epoch < w.epoch
returning m.device_id, m.lane, m.seq, m.id, m.tenant_id, m.state, m.attempt, floor(extract(epoch from m.intent_at) * 1000)::bigint as intent_at
