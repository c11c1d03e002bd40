-- Every node that was ever seen, newest word first.
select n.id, n.state, n.version, n.host, n.capacity, n.devices,
  floor(extract(epoch from n.started_at) * 1000)::bigint as started_at, floor(extract(epoch from n.seen_at) * 1000)::bigint as seen_at
from nodes n
order by n.seen_at desc, n.id
