-- Takes a suppression back, of the number and of the LID that is known to be the same person's. $1 tenant  $2 phone  $3 lid (either may be null)
with who as (
  select $2::text as phone, $3::text as lid
  union
  select i.phone, i.lid from identities i where i.tenant_id = $1::uuid and (i.phone = $2::text or i.lid = $3::text)
), found as (
  select s.id from who w join suppressions s on s.tenant_id = $1::uuid and s.phone = w.phone
  union
  select s.id from who w join suppressions s on s.tenant_id = $1::uuid and s.lid = w.lid
  union
  select s.id from who w join suppressions s on s.tenant_id = $1::uuid and s.hash in (person_hash($1::uuid, w.phone), person_hash($1::uuid, w.lid))
)
delete from suppressions s where s.id in (select f.id from found f) returning s.id
