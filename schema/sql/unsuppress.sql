-- Takes a suppression back. $1 tenant  $2 phone  $3 lid (either may be null)
delete from suppressions s where s.tenant_id = $1::uuid and (s.phone = $2::text or s.lid = $3::text) returning s.id
