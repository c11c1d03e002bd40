-- The key with this hash, if it is not revoked and not expired. $1 SHA-256
select k.id, k.tenant_id, k.name, array_to_string(k.scopes, ',') as scopes, floor(extract(epoch from k.expires_at) * 1000)::bigint as expires_at
from api_keys k
where k.hash = $1::bytea and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
