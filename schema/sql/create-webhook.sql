-- A new webhook with its lanes. $1 id  $2 tenant  $3 url  $4 events  $5 sealed secret  $6 events in one request  $7 most webhooks of a tenant
-- Result: no row when it has as many.
with made as (
  insert into webhooks (id, tenant_id, url, events, secret, batch)
  select $1::uuid, $2::uuid, $3, $4::text[], $5, $6::smallint
  where (select count(*) from webhooks w where w.tenant_id = $2::uuid and w.deleted_at is null) < $7::integer
  returning id
), lanes as (
  insert into webhook_lanes (webhook_id, lane) select m.id, n from made m cross join generate_series(0, 7) n
)
select id from made
