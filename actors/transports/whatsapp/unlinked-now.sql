-- In: $1 device, $2 a time. Out: a row when the device was unlinked at that time, nobody has seen to it, and it was not paired since.
select id
from devices
where id = $1::uuid and not paired and (settings ->> 'unlinkedAt')::bigint = $2::float8::bigint
  and settings ->> 'erasedAt' is distinct from settings ->> 'unlinkedAt'
