-- Makes devices with their ownership row and lane counters. A name that the tenant already uses makes no row.
-- $1 id  $2 tenant  $3 partition  $4 name  $5 phone  $6 transport  $7 paired  $8 pace min  $9 pace max  $10 daily cap  $11 token hash  $12 settings
-- Result: the devices made.
with item as materialized (
  select *
  from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::transport[], $7::boolean[], $8::integer[], $9::integer[],
    $10::integer[], $11::bytea[], $12::jsonb[])
    as i (id, tenant_id, partition, name, phone, transport, paired, pace_min_ms, pace_max_ms, daily_cap, link_token_hash, settings)
), made as (
  insert into devices as d (id, tenant_id, partition, name, phone, transport, paired, pace_min_ms, pace_max_ms, daily_cap, link_token_hash, settings)
  select * from item order by id
  on conflict (tenant_id, name) do nothing
  returning d.*
), owned as (
  insert into ownership (device_id, partition) select m.id, m.partition from made m
), counters as (
  insert into lane_counters (device_id, lane) select m.id, l.lane from made m cross join unnest(enum_range(null::lane)) as l (lane)
)
select d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
from made d
order by d.id
