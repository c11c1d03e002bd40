-- In: $1 devices, $2 wall ms before which a request is stale. Out: one row {id, request} per device whose request to pair was taken.
-- Taking removes it: a pairing that nobody watches is never started again by itself.
with asked as (
  select d.id, d.settings -> 'pairing' as request
  from devices d
  where d.id = any($1::uuid[])
    and d.settings ? 'pairing'
    and (d.settings -> 'pairing' ->> 'requestedAt')::bigint > $2::bigint
  order by d.id
  for update of d
)
update devices d
set settings = d.settings - 'pairing'
from asked
where d.id = asked.id
returning d.id, asked.request
