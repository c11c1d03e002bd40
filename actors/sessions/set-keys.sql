-- In: $1 device, $2 epoch of the caller, $3 types, $4 ids, $5 sealed values (base64, null = delete); one place per key, no key twice.
-- Out: one row {owned}; owned false = refused, nothing changed. All keys of the call or none; the lock as in save-creds.sql.
with owner as materialized (
  select o.device_id
  from ownership o
  where o.device_id = $1::uuid
    and $2::bigint is not null
    and o.epoch = $2::bigint -- fence
  for share of o
), given as (
  select owner.device_id, g.type, g.id, g.value
  from owner, unnest($3::text[], $4::text[], $5::text[]) as g (type, id, value)
), gone as (
  -- by what the index can look up: joined alone, the planner reads the keys of all devices before this one
  delete from session_keys k
  where k.device_id = $1::uuid
    and k.type = any (array(select type from given where value is null))
    and k.id = any (array(select id from given where value is null))
    and (k.type, k.id) in (select type, id from given where value is null)
), put as (
  insert into session_keys (device_id, type, id, value)
  select device_id, type, id, decode(value, 'base64') from given where value is not null
  on conflict (device_id, type, id) do update set value = excluded.value
)
select exists (select from owner) as owned
