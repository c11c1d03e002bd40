-- Leads without people: numbers from $2 to $3 of one tenant. $1 tenant
insert into leads (id, tenant_id, phone, name)
select gen_random_uuid(), $1::uuid, '+49151' || lpad(n::text, 8, '0'), 'Lead ' || n from generate_series($2::bigint, $3::bigint) n
