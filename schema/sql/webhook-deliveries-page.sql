-- What was told to a webhook, newest first. $1 tenant  $2 webhook  $3 states (null = all)  $4 before this no (null = from the newest)  $5 most
select d.no, d.type, d.message_id, d.device_id, d.state, d.tries, d.status, d.error, d.detail::text as detail,
  floor(extract(epoch from d.at) * 1000)::bigint as at, floor(extract(epoch from d.ended_at) * 1000)::bigint as ended_at
from webhook_deliveries d
where d.webhook_id = $2::uuid and d.tenant_id = $1::uuid and ($3::text[] is null or d.state = any($3::text[]))
  and d.no < coalesce($4::bigint, 9223372036854775807)
order by d.no desc
limit $5
