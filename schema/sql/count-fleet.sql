-- Counts a tenant's devices and backlog from counters, never by a scan of the ledger, and keeps them when that took at least $2 ms or they were kept
-- before. $1 tenant  $2 ms
-- Result: one row; none while somebody else counts this tenant and there is something kept to be read meanwhile.
with turn as materialized (
  select clock_timestamp() as began
  where pg_try_advisory_xact_lock(727004, hashtext(($1::uuid)::text)) or not exists (select 1 from fleet_totals f where f.tenant_id = $1::uuid)
), mine as materialized (
  select array(select d.id from turn cross join devices d where d.tenant_id = $1::uuid and d.deleted_at is null) as ids
), counted as materialized (
  select
    cardinality(m.ids)::bigint as devices,
    coalesce((select sum(c.accepted) from lane_counters c where c.device_id = any(m.ids)), 0)::bigint
      - coalesce((select sum(o.ended) from ownership o where o.device_id = any(m.ids)), 0)::bigint as backlog
  from mine m
), timed as materialized (
  select t.began, c.devices, c.backlog, extract(epoch from clock_timestamp() - t.began)::float8 * 1000 as took_ms from turn t cross join counted c
), kept as (
  insert into fleet_totals (tenant_id, devices, backlog, counted_at, took_ms)
  select $1::uuid, t.devices, t.backlog, t.began, t.took_ms
  from timed t
  where t.took_ms >= $2::float8 or exists (select 1 from fleet_totals f where f.tenant_id = $1::uuid)
  on conflict (tenant_id) do update
  set devices = excluded.devices, backlog = excluded.backlog, counted_at = excluded.counted_at, took_ms = excluded.took_ms
  where fleet_totals.counted_at < excluded.counted_at
)
select t.devices, t.backlog, t.took_ms from timed t
