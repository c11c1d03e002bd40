-- The webhooks of a tenant, oldest first. $1 tenant  $2 ids (null = all). `waiting` is counted up to 10,000.
select w.id, w.url, w.events, w.batch, w.failures, w.last_error, w.disabled_reason, w.secret,
  floor(extract(epoch from w.disabled_at) * 1000)::bigint as disabled_at, floor(extract(epoch from w.failing_since) * 1000)::bigint as failing_since,
  floor(extract(epoch from w.succeeded_at) * 1000)::bigint as succeeded_at, floor(extract(epoch from w.created_at) * 1000)::bigint as created_at,
  (select count(*) from (select 1 from webhook_deliveries d where d.webhook_id = w.id and d.state = 'PENDING' limit 10000) n) as waiting
from webhooks w
where w.tenant_id = $1::uuid and w.deleted_at is null and ($2::uuid[] is null or w.id = any($2::uuid[]))
order by w.id
