-- An upload that is whole and still kept. $1 id  $2 tenant (null = whoever's)
select u.id, u.tenant_id, u.kind, u.type, u.file_name, u.store, u.bytes, floor(extract(epoch from u.expires_at) * 1000)::bigint as expires_at
from media_uploads u
where u.id = $1::uuid and u.bytes is not null and u.expires_at > now() and ($2::uuid is null or u.tenant_id = $2::uuid)
