-- In: $1 device, $2 epoch of the caller, $3 sealed creds (base64). Out: one row {owned}; owned false = refused, nothing changed.
-- The share lock waits for an epoch that is being raised and then reads it again: no write of a stale owner lands after the raise.
with owner as materialized (
  select o.device_id
  from ownership o
  where o.device_id = $1::uuid
    and o.epoch = $2::bigint -- fence
  for share of o
), saved as (
  insert into sessions (device_id, creds, epoch, updated_at)
  select device_id, decode($3::text, 'base64'), $2::bigint, now() from owner
  on conflict (device_id) do update set creds = excluded.creds, epoch = excluded.epoch, updated_at = excluded.updated_at
  returning device_id
)
select exists (select from saved) as owned
