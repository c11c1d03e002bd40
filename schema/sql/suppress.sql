-- Writes down who is not to be messaged again: one row per phone number and one per LID. $1 id  $2 tenant  $3 phone  $4 lid  $5 reason  $6 source
-- Result: the rows that are new.
insert into suppressions as s (id, tenant_id, phone, lid, reason, source)
select i.id, i.tenant_id, i.phone, i.lid, i.reason, i.source
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) as i (id, tenant_id, phone, lid, reason, source)
order by i.tenant_id, i.phone, i.lid
on conflict do nothing
returning s.id
