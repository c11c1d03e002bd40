-- Writes what a node says of itself. $1 id  $2 state  $3 version  $4 host  $5 capacity  $6 devices  $7 started (ms)  $8 seen (ms)
insert into nodes as n (id, state, version, host, capacity, devices, started_at, seen_at)
values ($1, $2, $3, $4, $5::integer, $6::integer, to_timestamp($7::float8 / 1000.0), to_timestamp($8::float8 / 1000.0))
on conflict (id) do update
  set state = excluded.state, version = excluded.version, host = excluded.host, capacity = excluded.capacity, devices = excluded.devices,
    started_at = excluded.started_at, seen_at = excluded.seen_at
