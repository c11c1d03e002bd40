-- Revokes a key of a tenant (or, with null, of the installation). $1 tenant  $2 key
update api_keys k set revoked_at = now()
where k.id = $2::uuid and k.tenant_id is not distinct from $1::uuid and k.revoked_at is null
returning k.id
