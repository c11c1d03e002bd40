-- Redrives of a tenant, newest first. $1 tenant  $2 before this id (null = from the newest)  $3 most  $4 ids (null = all)
select r.id, r.state, r.reason, r.filter::text as filter, r.per_minute, r.redrives_below, r.matching, r.whole, r.redriven, r.suppressed, r.left_out,
  floor(extract(epoch from r.created_at) * 1000)::bigint as created_at, floor(extract(epoch from r.ended_at) * 1000)::bigint as ended_at
from redrives r
where r.tenant_id = $1::uuid and r.id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') and ($4::uuid[] is null or r.id = any($4::uuid[]))
order by r.id desc
limit $3
