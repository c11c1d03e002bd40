-- In: $1 tenant  $2 phone (E.164)  $3 is it on WhatsApp
insert into identities as i (tenant_id, phone, registered, checked_at) values ($1::uuid, $2::text, $3::boolean, now())
on conflict (tenant_id, phone) do update set registered = excluded.registered, checked_at = excluded.checked_at
