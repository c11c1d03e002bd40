-- Dead letters that were not redriven, counted by cause and state: of the newest $8 of the tenant.
-- $1 tenant  $2 states  $3 causes  $4 devices  $5 flow  $6 since (ms)  $7 until (ms): null = any  $8 letters looked at
-- Result: one row: how many were looked at, and the groups, largest first, at most 200.
with looked as materialized (
  select l.message_id, l.device_id, l.state, l.cause, l.flow_no, l.created_at
  from dead_letters l
  where l.tenant_id = $1::uuid and l.redriven_at is null
    and ($6::float8 is null or l.created_at >= to_timestamp($6::float8 / 1000))
    and ($7::float8 is null or l.created_at < to_timestamp($7::float8 / 1000))
  order by l.created_at desc, l.message_id desc
  limit $8
), groups as materialized (
  select l.cause, l.state, count(*) as letters, count(distinct l.device_id) as devices,
    floor(extract(epoch from min(l.created_at)) * 1000)::bigint as oldest, floor(extract(epoch from max(l.created_at)) * 1000)::bigint as newest,
    max(l.message_id::text) as message_id
  from looked l
  where ($2::message_state[] is null or l.state = any($2::message_state[]))
    and ($3::text[] is null or l.cause = any($3::text[]))
    and ($4::uuid[] is null or l.device_id = any($4::uuid[]))
    and ($5::integer is null or l.flow_no = $5::integer)
  group by l.cause, l.state
  order by letters desc, l.cause, l.state
  limit 200
)
select (select count(*) from looked) as looked,
  coalesce((select json_agg(g order by g.letters desc, g.cause, g.state) from groups g), '[]') as groups
