-- Begins an upload. $1 id  $2 tenant  $3 kind  $4 type  $5 file name  $6 store  $7 how long it may take (ms)  $8 most bytes that a tenant's uploads may have together
-- Result: its row, or none when the tenant's share is used up.
insert into media_uploads (id, tenant_id, kind, type, file_name, store, expires_at)
select $1::uuid, $2::uuid, $3, $4, $5, $6, now() + $7::float8 * interval '1 millisecond'
where (select coalesce(sum(u.bytes), 0) from media_uploads u where u.tenant_id = $2::uuid and u.expires_at > now()) < $8::bigint
returning id
