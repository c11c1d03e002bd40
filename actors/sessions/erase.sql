-- In: $1 device, $2 epoch of the caller. Out: one row {owned}. Removes creds and keys at once (unlinked, or before a new pairing).
-- Looked up by $1: joined with `owner` the planner reads the keys of all devices before this one.
with owner as materialized (
  select o.device_id
  from ownership o
  where o.device_id = $1::uuid
    and $2::bigint is not null
    and o.epoch = $2::bigint -- fence
  for share of o
), creds as (
  delete from sessions s where s.device_id = $1::uuid and exists (select from owner)
), keys as (
  delete from session_keys k where k.device_id = $1::uuid and exists (select from owner)
)
select exists (select from owner) as owned
