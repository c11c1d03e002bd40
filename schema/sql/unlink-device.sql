-- Takes a device's session and link token away. $1 tenant  $2 device  $3 now (ms)
-- Result: the device. Guarantee: the present owner is fenced by a new epoch, so what it still writes of the old session does not count; it is told
-- by `settings.unlinkedAt` to let the device go.
with unlinked as (
  update devices d
  set paired = d.transport = 'simulator', link_token_hash = null, settings = (d.settings - 'standing') || jsonb_build_object('unlinkedAt', $3::float8::bigint),
    changed_at = clock_timestamp()
  where d.id = $2::uuid and d.tenant_id = $1::uuid and d.deleted_at is null
  returning d.*
), fenced as (
  update ownership o set epoch = o.epoch + 1 from unlinked d where o.device_id = $2::uuid and o.device_id = d.id and d.transport = 'whatsapp'
), creds as (
  delete from sessions s using unlinked d where s.device_id = $2::uuid and s.device_id = d.id
), keys as (
  delete from session_keys k using unlinked d where k.device_id = $2::uuid and k.device_id = d.id
)
select d.id, d.tenant_id, d.partition, d.name, d.phone, d.transport, d.paired, d.paused, d.pause_reason, d.quarantined, d.quarantine_reason,
  d.pace_min_ms, d.pace_max_ms, d.daily_cap, d.settings, floor(extract(epoch from d.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from d.changed_at) * 1000)::bigint as changed_at, d.deleted_at is not null as deleted
from unlinked d
