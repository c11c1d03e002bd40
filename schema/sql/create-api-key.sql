-- Makes an API key; null when its hash is there already. $1 id  $2 tenant (null = the installation's)  $3 name  $4 SHA-256  $5 scopes  $6 expires (ms)
insert into api_keys as k (id, tenant_id, name, hash, scopes, expires_at)
values ($1::uuid, $2::uuid, $3, $4::bytea, $5::text[], to_timestamp($6::float8 / 1000.0))
on conflict (hash) do nothing
returning k.id
