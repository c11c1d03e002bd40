-- The next open messages of many lanes, in seq order, past the holes that ended messages leave.
-- $1 device  $2 lane  $3 after this seq  $4 most entries per lane
select a.device_id, a.lane, e.seq, e.id as message_id, e.traceparent
from unnest($1::uuid[], $2::lane[], $3::bigint[]) with ordinality as a (device_id, lane, after_seq, ord)
cross join lateral (
  select m.seq, m.id, m.traceparent
  from messages m
  where m.device_id = a.device_id and m.lane = a.lane and m.seq > a.after_seq and m.seq is not null
    and m.state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')
  order by m.seq
  limit $4
) e
order by a.ord, e.seq
