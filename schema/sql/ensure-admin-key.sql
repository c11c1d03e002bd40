-- Makes the configured admin key the installation's only one of that name: older ones stop, a returning one works again.
-- $1 id for a new row  $2 name  $3 SHA-256
with retired as (
  update api_keys k set revoked_at = now()
  where k.tenant_id is null and k.name = $2 and k.hash <> $3::bytea and k.revoked_at is null
)
insert into api_keys as k (id, tenant_id, name, hash, scopes)
values ($1::uuid, null, $2, $3::bytea, '{admin}')
on conflict (hash) do update set revoked_at = null
returning k.id
