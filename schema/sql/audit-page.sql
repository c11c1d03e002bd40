-- A page of a tenant's audit, newest first. $1 tenant  $2 before this id (null = from the newest)  $3 action (null = all)  $4 subject (null = all)  $5 most
select a.id, a.api_key_id, k.name as api_key_name, a.action, a.subject, a.detail, floor(extract(epoch from a.at) * 1000)::bigint as at
from audit a
left join lateral (select k.name from api_keys k where k.id = a.api_key_id limit 1) k on true
where a.tenant_id = $1::uuid and a.id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  and ($3::text is null or a.action = $3::text) and ($4::text is null or a.subject = $4::text)
order by a.id desc
limit $5
