-- Orders a redrive. $1 id  $2 tenant  $3 reason  $4 filter as it was asked (JSON)  $5 states  $6 causes  $7 devices  $8 flow  $9 since (ms)
-- $10 until (ms)  $11 put back fewer times than this  $12 most a minute  $13 letters that fit  $14 are those all  $15 most that may run in a tenant
-- Result: no row when as many run already.
insert into redrives (id, tenant_id, reason, filter, states, causes, device_ids, flow_no, since, until, redrives_below, per_minute, matching, whole)
select $1::uuid, $2::uuid, $3, $4::text::jsonb, $5::message_state[], $6::text[], $7::uuid[], $8::integer, to_timestamp($9::float8 / 1000),
  least(now(), to_timestamp($10::float8 / 1000)), $11::integer, $12::integer, $13::bigint, $14::boolean
where (select count(*) from redrives r where r.tenant_id = $2::uuid and r.state = 'RUNNING') < $15::integer
returning id
