-- Imports of a tenant, newest first. $1 tenant  $2 before this id (null = from the newest)  $3 most  $4 ids (null = all)
-- One that is running and was not heard of for a minute has lost its gateway: INTERRUPTED.
select i.id, i.format,
  case when i.state = 'RUNNING' and i.seen_at < now() - interval '1 minute' then 'INTERRUPTED' else i.state end as state,
  i.bytes, i.total_bytes, i.rows, i.made, i.changed, i.faulty, i.error,
  floor(extract(epoch from i.started_at) * 1000)::bigint as started_at, floor(extract(epoch from i.ended_at) * 1000)::bigint as ended_at
from lead_imports i
where i.tenant_id = $1::uuid and i.id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') and ($4::uuid[] is null or i.id = any($4::uuid[]))
order by i.id desc
limit $3
