-- Writes down that a file of leads is coming; no row when the id is taken. $1 id  $2 tenant  $3 format  $4 bytes said to come (null = not said)
insert into lead_imports (id, tenant_id, format, total_bytes) values ($1::uuid, $2::uuid, $3, $4::bigint)
on conflict (id) do nothing
returning id
