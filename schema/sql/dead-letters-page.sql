-- A page of a tenant's dead letters that were not redriven, newest first. $1 tenant  $2 cursor: created (µs)  $3 cursor: message  $4 most
select l.message_id, l.device_id, l.state, l.cause, l.attempts, l.last_error, l.redrives,
  floor(extract(epoch from l.created_at) * 1000000)::bigint as created_micros
from dead_letters l
where l.tenant_id = $1::uuid and l.redriven_at is null
  and ($2::bigint is null or (
    l.created_at <= timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
    and (l.created_at < timestamptz 'epoch' + $2::bigint * interval '1 microsecond' or l.message_id > $3::uuid)))
order by l.created_at desc, l.message_id
limit $4
