-- A page of a tenant's API keys, oldest first, revoked and expired ones too. $1 tenant  $2 after this id (null = from the start)  $3 most
select k.id, k.name, array_to_string(k.scopes, ',') as scopes, floor(extract(epoch from k.created_at) * 1000)::bigint as created_at,
  floor(extract(epoch from k.expires_at) * 1000)::bigint as expires_at, floor(extract(epoch from k.revoked_at) * 1000)::bigint as revoked_at
from api_keys k
where k.tenant_id = $1::uuid and k.id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
order by k.id
limit $3
