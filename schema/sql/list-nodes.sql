-- Nodes that were seen within a day, newest word first. One that has been silent for 15 s (three of its reports) is GONE.
select n.id,
  case
    when n.state = 'GONE' or n.seen_at < clock_timestamp() - interval '15 seconds' then 'GONE'
    when n.drain then 'DRAINING'
    else n.state
  end as state,
  n.version, n.host, n.capacity, n.devices,
  floor(extract(epoch from n.started_at) * 1000)::bigint as started_at, floor(extract(epoch from n.seen_at) * 1000)::bigint as seen_at,
  greatest(0, floor(extract(epoch from clock_timestamp() - n.seen_at) * 1000))::bigint as silent_ms
from nodes n
where n.seen_at > clock_timestamp() - interval '1 day'
order by n.seen_at desc, n.id
