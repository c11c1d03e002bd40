-- Writes what a node says of itself and answers what is wanted of it. Times are this server's: a node's own clock may be wrong.
-- $1 id  $2 state  $3 version  $4 host  $5 capacity  $6 devices  $7 instance
-- Guarantee: a wish to drain ends with the process it was made for: a new instance of the same name begins without it.
insert into nodes as n (id, state, version, host, capacity, devices, instance, started_at, seen_at)
values ($1, $2, $3, $4, $5::integer, $6::integer, $7, clock_timestamp(), clock_timestamp())
on conflict (id) do update
  set state = excluded.state, version = excluded.version, host = excluded.host, capacity = excluded.capacity, devices = excluded.devices,
    drain = n.drain and n.instance = excluded.instance,
    started_at = case when n.instance = excluded.instance then n.started_at else excluded.started_at end,
    instance = excluded.instance, seen_at = excluded.seen_at
returning n.drain
