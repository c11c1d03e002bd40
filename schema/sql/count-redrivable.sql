-- How many dead letters a redrive would put back: of the oldest $9 of the tenant in its time, and of the oldest $10 that fit how many belong to
-- people who have asked not to be messaged.
-- $1 tenant  $2 states  $3 causes  $4 devices  $5 flow  $6 since (ms)  $7 until (ms)  $8 put back fewer times than this
-- Without $3 those are left out whose outcome is not known: they may have arrived.
with looked as materialized (
  select l.message_id, l.device_id, l.state, l.cause, l.flow_no, l.redrives, l.created_at
  from dead_letters l
  where l.tenant_id = $1::uuid and l.redriven_at is null
    and ($6::float8 is null or l.created_at >= to_timestamp($6::float8 / 1000))
    and ($7::float8 is null or l.created_at < to_timestamp($7::float8 / 1000))
  order by l.created_at, l.message_id
  limit $9
), fitting as materialized (
  select l.message_id, l.created_at
  from looked l
  where ($2::message_state[] is null or l.state = any($2::message_state[]))
    and case when $3::text[] is null then l.cause <> 'OUTCOME_UNKNOWN' else l.cause = any($3::text[]) end
    and ($4::uuid[] is null or l.device_id = any($4::uuid[]))
    and ($5::integer is null or l.flow_no = $5::integer)
    and l.redrives < $8
), oldest as materialized (
  select f.message_id from fitting f order by f.created_at, f.message_id limit $10
), person as materialized (
  select m.recipient, m.recipient_lid
  from messages m
  where m.id = any(array(select o.message_id from oldest o)) and m.tenant_id = $1::uuid
)
select (select count(*) from looked) as looked, (select count(*) from fitting) as matching,
  (select count(*) from person p
   left join lateral (select 1 as hit from suppressions s where s.tenant_id = $1::uuid and s.phone = p.recipient limit 1) a on true
   left join lateral (select 1 as hit from suppressions s where s.tenant_id = $1::uuid and s.lid = p.recipient_lid limit 1) b on true
   where a.hit is not null or b.hit is not null) as suppressed
