-- Replaces blobs that still are what they were. In: $1 device, $2 types, $3 ids, $4 old and $5 new values (base64); of creds type and id are empty.
-- Out: one row {swapped}. An owner may write meanwhile: what it has written since stays.
with given as (
  select g.type, g.id, decode(g.old, 'base64') as old, decode(g.fresh, 'base64') as fresh
  from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as g (type, id, old, fresh)
), creds as (
  update sessions s set creds = g.fresh from given g where s.device_id = $1::uuid and g.type = '' and g.id = '' and s.creds = g.old
  returning 1
), keys as (
  update session_keys k set value = g.fresh from given g
  where k.device_id = $1::uuid and k.type = g.type and k.id = g.id and k.value = g.old
  returning 1
)
select ((select count(*) from creds) + (select count(*) from keys))::int as swapped
