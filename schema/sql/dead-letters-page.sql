-- A page of a tenant's dead letters that were not redriven, newest first.
-- $1 tenant  $2 states  $3 causes  $4 devices  $5 flow  $6 since (ms)  $7 until (ms): null = any  $8 cursor: created (µs)  $9 cursor: message  $10 most
select l.message_id, l.device_id, l.state, l.cause, l.attempts, l.last_error, l.redrives,
  floor(extract(epoch from l.created_at) * 1000000)::bigint as created_micros
from dead_letters l
where l.tenant_id = $1::uuid and l.redriven_at is null
  and ($2::message_state[] is null or l.state = any($2::message_state[]))
  and ($3::text[] is null or l.cause = any($3::text[]))
  and ($4::uuid[] is null or l.device_id = any($4::uuid[]))
  and ($5::integer is null or l.flow_no = $5::integer)
  and ($6::float8 is null or l.created_at >= to_timestamp($6::float8 / 1000))
  and ($7::float8 is null or l.created_at < to_timestamp($7::float8 / 1000))
  and ($8::bigint is null
    or (l.created_at, l.message_id) < (timestamptz 'epoch' + $8::bigint * interval '1 microsecond', $9::uuid))
order by l.created_at desc, l.message_id desc
limit $10
