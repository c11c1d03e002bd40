-- Tells webhooks of devices whose state is another than was told last. $1 device  $2 tenant  $3 epoch  $4 version  $5 state  $6 reason  $7 at (ms); a device stands
-- once in a batch. A stale owner's late word tells nothing.
with item as materialized (
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::float8[])
    as i (device_id, tenant_id, epoch, version, state, reason, at_ms)
), known as materialized (
  select k.device_id, k.epoch, k.version, k.state from webhook_devices k where k.device_id = any($1::uuid[]) order by k.device_id for no key update of k
), fresh as materialized (
  select i.*, k.state as before
  from item i left join known k on k.device_id = i.device_id
  where k.device_id is null or (i.epoch, i.version) > (k.epoch, k.version)
), written as (
  insert into webhook_devices as t (device_id, tenant_id, epoch, version, state)
  select f.device_id, f.tenant_id, f.epoch, f.version, f.state from fresh f order by f.device_id
  on conflict (device_id) do update set epoch = excluded.epoch, version = excluded.version, state = excluded.state
)
insert into webhook_deliveries (webhook_id, tenant_id, lane, type, device_id, detail, at)
select w.id, f.tenant_id, webhook_lane(f.device_id), 'device.state', f.device_id,
  jsonb_build_object('state', f.state, 'before', f.before, 'reason', f.reason), to_timestamp(f.at_ms / 1000)
from fresh f
cross join lateral (
  select w.id from webhooks w
  where w.tenant_id = f.tenant_id and w.disabled_at is null and w.deleted_at is null and 'device.state' = any(w.events)
) w
where f.state is distinct from f.before
returning no
