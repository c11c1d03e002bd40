-- The oldest dead letters of a tenant that were not redriven. $1 tenant  $2 most
select l.message_id from dead_letters l
where l.tenant_id = $1::uuid and l.redriven_at is null
order by l.created_at, l.message_id
limit $2
