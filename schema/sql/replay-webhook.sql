-- Puts events of a webhook back that were told, or could not be: they go out again, under the same ids, before what is newer.
-- $1 tenant  $2 webhook  $3 events (null: by what follows)  $4 states  $5 since (ms)  $6 until (ms)  $7 most
with picked as materialized (
  select d.no from webhook_deliveries d
  where d.webhook_id = $2::uuid and d.tenant_id = $1::uuid and d.state <> 'PENDING' and ($3::bigint[] is null or d.no = any($3::bigint[]))
    and ($3::bigint[] is not null or d.state = any($4::text[]))
    and ($5::float8 is null or d.at >= to_timestamp($5::float8 / 1000)) and ($6::float8 is null or d.at < to_timestamp($6::float8 / 1000))
    and exists (select 1 from webhooks w where w.id = $2::uuid and w.tenant_id = $1::uuid and w.deleted_at is null)
  order by d.no
  limit $7
)
update webhook_deliveries d set state = 'PENDING', tries = 0, ended_at = null
where d.no = any(array(select p.no from picked p)) and d.state <> 'PENDING'
returning d.no
