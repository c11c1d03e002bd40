-- In: $1 devices, $2 wall ms before which a request is stale. Out: one row {id} per device whose request to pair was taken.
-- Taking removes it: a pairing that nobody watches is never started again by itself.
update devices
set settings = settings - 'pairing'
where id = any($1::uuid[])
  and settings ? 'pairing'
  and (settings -> 'pairing' ->> 'requestedAt')::bigint > $2::bigint
returning id
