-- In: $1 tenant  $2 phone (E.164) or null  $3 LID or null: one of the two. Out: at most one row {phone, lid, registered, age_ms of the last check or null}.
select i.phone, i.lid, i.registered, (extract(epoch from now() - i.checked_at) * 1000)::float8 as age_ms
from identities i
where i.tenant_id = $1::uuid and (i.phone = $2::text or i.lid = $3::text)
order by i.learnt_at desc
limit 1
