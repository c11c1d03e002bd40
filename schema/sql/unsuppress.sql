-- Takes a suppression back, of the number and of the LID that is known to be the same person's. $1 tenant  $2 phone  $3 lid (either may be null)
with same as (
  select i.phone, i.lid from identities i where i.tenant_id = $1::uuid and (i.phone = $2::text or i.lid = $3::text)
)
delete from suppressions s
where s.tenant_id = $1::uuid
  and (s.phone = $2::text or s.lid = $3::text or s.phone in (select phone from same) or s.lid in (select lid from same where lid is not null))
returning s.id
