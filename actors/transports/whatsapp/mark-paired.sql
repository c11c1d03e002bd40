-- What a login or its end proves about a device's pairing, written by its owner. In: $1 device, $2 epoch of the caller, $3 paired, $4 its phone number (E.164), or
-- null = keep what is there. Out: one row {owned, changed}; owned false = refused, nothing changed.
-- The device is locked before its ownership, as an unlinking through the API does; the share lock waits for an epoch that is being raised and then reads it again.
with device as materialized (
  select d.id from devices d where d.id = $1::uuid for no key update
), owner as materialized (
  select o.device_id
  from ownership o
  where o.device_id = (select id from device)
    and $2::bigint is not null
    and o.epoch = $2::bigint -- fence
  for share of o
), marked as (
  update devices d
  set paired = $3::boolean, phone = coalesce($4::text, d.phone), changed_at = now(),
    -- what was said of an account goes with it
    settings = case when $3::boolean then d.settings else d.settings - 'standing' end
  where d.id = (select device_id from owner)
    and (d.paired, coalesce(d.phone, '')) is distinct from ($3::boolean, coalesce($4::text, d.phone, ''))
  returning d.id
)
select exists (select from owner) as owned, exists (select from marked) as changed
