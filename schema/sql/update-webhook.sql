-- Changes a webhook; null = as it is. $1 tenant  $2 id  $3 url  $4 events  $5 events in one request  $6 on or off  $7 new sealed secret
-- $8 how long the secret before goes on signing (ms)
-- A webhook that is switched on, or gets another address, begins anew: nothing is held against it, and what waits is tried at once.
with moved as (
  update webhooks w
  set url = coalesce($3, w.url),
    events = coalesce($4::text[], w.events),
    batch = coalesce($5::smallint, w.batch),
    secret = coalesce($7::bytea, w.secret),
    secret_before = case when $7::bytea is null then w.secret_before else w.secret end,
    secret_before_until = case when $7::bytea is null then w.secret_before_until else now() + $8::float8 * interval '1 millisecond' end,
    disabled_at = case when $6::boolean then null when not $6::boolean then coalesce(w.disabled_at, now()) else w.disabled_at end,
    disabled_reason = case when $6::boolean then null when not $6::boolean then coalesce(w.disabled_reason, 'BY_REQUEST') else w.disabled_reason end,
    failing_since = case when $6::boolean or $3 <> w.url then null else w.failing_since end,
    failures = case when $6::boolean or $3 <> w.url then 0 else w.failures end
  where w.id = $2::uuid and w.tenant_id = $1::uuid and w.deleted_at is null
  returning w.id
), freed as (
  update webhook_lanes l set next_at = clock_timestamp(), failures = 0
  from moved m
  where l.webhook_id = $2::uuid and l.webhook_id = m.id and ($6::boolean or $3::text is not null) and l.claim is null
)
select id from moved
