-- What came of one request. $1 webhook  $2 lane  $3 claim  $4 events (no)  $5 was it taken  $6 status (null = no answer)  $7 error  $8 wait until the next try (ms)
-- $9 tries after which an event is DEAD  $10 disable at once  $11 disable when it has failed for so long (ms)  $12 id of an audit entry, if one is written
-- Result: no row when the claim was lost (its time was up: the events go out again, under the same ids); else how many are DEAD now and whether
-- the webhook was disabled by this.
with lane as materialized (
  select l.webhook_id, l.lane from webhook_lanes l where l.webhook_id = $1::uuid and l.lane = $2::smallint and l.claim = $3::uuid for no key update of l
), hook as materialized (
  select w.id, w.tenant_id, w.failing_since, w.failures, w.succeeded_at
  from webhooks w
  where w.id = $1::uuid and exists (select 1 from lane)
    and (not $5::boolean or w.failing_since is not null or coalesce(w.succeeded_at, '-infinity') < now() - interval '10 seconds')
  for no key update of w
), moved as (
  update webhook_deliveries d
  set state = case when $5::boolean then 'DELIVERED' when d.tries + 1 >= $9::integer then 'DEAD' else 'PENDING' end,
    tries = d.tries + 1,
    status = $6::smallint,
    error = $7,
    ended_at = case when $5::boolean or d.tries + 1 >= $9::integer then clock_timestamp() end
  where d.no = any($4::bigint[]) and d.state = 'PENDING' and exists (select 1 from lane)
  returning d.state
), freed as (
  update webhook_lanes l
  set claim = null,
    failures = case when $5::boolean then 0 else l.failures + 1 end,
    next_at = clock_timestamp() + $8::float8 * interval '1 millisecond'
  from lane n
  where l.webhook_id = $1::uuid and l.lane = n.lane
), judged as (
  update webhooks w
  set failing_since = case when $5::boolean then null else coalesce(w.failing_since, clock_timestamp()) end,
    failures = case when $5::boolean then 0 else w.failures + 1 end,
    last_error = case when $5::boolean then w.last_error else $7 end,
    succeeded_at = case when $5::boolean then clock_timestamp() else w.succeeded_at end,
    disabled_at = case
      when w.disabled_at is not null or $5::boolean then w.disabled_at
      when $10::boolean or w.failing_since <= clock_timestamp() - $11::float8 * interval '1 millisecond' then clock_timestamp()
    end,
    disabled_reason = case
      when w.disabled_at is not null or $5::boolean then w.disabled_reason
      when $10::boolean then 'GONE'
      when w.failing_since <= clock_timestamp() - $11::float8 * interval '1 millisecond' then 'SUSTAINED_FAILURE'
    end
  from hook h
  where w.id = $1::uuid and w.id = h.id
  returning w.id, w.tenant_id, w.url, w.disabled_reason,
    w.disabled_at is not null and w.disabled_at >= statement_timestamp() as disabled
), noted as (
  insert into audit (id, tenant_id, action, subject, detail)
  select $12::uuid, j.tenant_id, 'webhook.disabled', j.id::text, jsonb_build_object('reason', j.disabled_reason) from judged j where j.disabled
), told as (
  insert into webhook_deliveries (webhook_id, tenant_id, lane, type, detail, at)
  select o.id, o.tenant_id, webhook_lane(j.id), 'webhook.disabled',
    jsonb_build_object('webhookId', 'Webhook:' || j.id, 'url', j.url, 'reason', j.disabled_reason), clock_timestamp()
  from judged j
  cross join lateral (
    select o.id, o.tenant_id from webhooks o
    where o.tenant_id = j.tenant_id and o.id <> j.id and o.disabled_at is null and o.deleted_at is null and 'webhook.disabled' = any(o.events)
  ) o
  where j.disabled
)
select (select count(*) from moved m where m.state = 'DEAD') as dead, coalesce((select j.disabled from judged j), false) as disabled from lane
