-- Accepts a batch of messages of any tenants and devices. One autocommit statement.
-- $1 id  $2 tenant  $3 device  $4 lane  $5 recipient  $6 body  $7 key  $8 content hash  $9 scheduled (ms or null)  $10 traceparent
-- $11 content (JSON or null)
-- Result: one row per item, in input order. Guarantees:
--  A1 counter rows are locked in (device, lane) order before anything is written, and stay locked to the commit: seqs are dense and
--     their order is the order of commit;
--  A2 an idempotency key has one message; who loses the race for it answers AGAIN and has consumed nothing;
--  A3 a rejected item leaves no key, no seq and no row;
--  A4 ownership is read, never locked, so gateways and owners do not wait for each other.
with item as materialized (
  select i.*
  from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::lane[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::float8[], $10::text[], $11::text[])
    with ordinality as i (id, tenant_id, device_id, lane, recipient, body, key, content_hash, scheduled_ms, traceparent, content, ord)
), known as materialized (
  select i.id, i.tenant_id, i.device_id, i.lane, i.key, i.ord, d.paused, t.max_backlog,
    k.message_id as earlier_id,
    k.content_hash = i.content_hash as same_content,
    s.hit is not null as suppressed,
    to_timestamp(i.scheduled_ms / 1000.0) as scheduled_at,
    case when i.key is null then 1 else row_number() over (partition by i.tenant_id, i.key order by i.ord) end as nth
  from item i
  -- "is not distinct from", because "=" would let the planner walk all devices of the tenant
  join devices d on d.id = any($3::uuid[]) and d.id = i.device_id and d.tenant_id is not distinct from i.tenant_id and d.deleted_at is null
  join tenants t on t.id = any($2::uuid[]) and t.id = i.tenant_id
  left join lateral (
    select k.message_id, k.content_hash from idempotency_keys k where k.tenant_id = i.tenant_id and k.key = i.key limit 1
  ) k on true
  left join lateral (
    (select 1 as hit from suppressions s where s.tenant_id = i.tenant_id and s.phone = i.recipient limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = i.tenant_id and s.hash = person_hash(i.tenant_id, i.recipient) limit 1)
    limit 1
  ) s on true
), fresh as materialized (
  select k.*, row_number() over (partition by k.device_id order by k.ord) as place
  from known k
  where k.earlier_id is null and not k.suppressed and k.nth = 1
), locked as materialized (
  select c.device_id, c.lane, c.next_seq, c.accepted
  from lane_counters c
  where c.device_id = any($3::uuid[]) and (c.device_id, c.lane) in (select f.device_id, f.lane from fresh f)
  order by c.device_id, c.lane
  for no key update of c
), backlog as materialized (
  -- lanes of this batch as locked, the device's other lanes as last committed
  select c.device_id, sum(coalesce(l.accepted, c.accepted)) - max(o.ended) as open
  from lane_counters c
  join ownership o on o.device_id = any($3::uuid[]) and o.device_id = c.device_id
  left join locked l on l.device_id = c.device_id and l.lane = c.lane
  where c.device_id = any($3::uuid[])
  group by c.device_id
), fitting as materialized (
  select f.*, coalesce(f.scheduled_at > now(), false) as later
  from fresh f
  join backlog b on b.device_id = f.device_id
  where b.open + f.place <= f.max_backlog
), keyed as (
  insert into idempotency_keys (tenant_id, key, content_hash, message_id)
  select f.tenant_id, f.key, i.content_hash, f.id
  from fitting f join item i on i.ord = f.ord
  where f.key is not null
  order by f.tenant_id, f.key
  on conflict do nothing
  returning message_id
), accepted as materialized (
  select f.id, f.ord, f.device_id, f.lane, f.scheduled_at, f.paused, f.later,
    case when not f.later
      then l.next_seq - 1 + row_number() over (partition by f.device_id, f.lane, f.later order by f.ord)
    end as seq
  from fitting f
  join locked l on l.device_id = f.device_id and l.lane = f.lane
  where f.key is null or f.id in (select k.message_id from keyed k)
), counted as (
  update lane_counters c
  set next_seq = c.next_seq + n.sequenced, accepted = c.accepted + n.accepted
  from (select a.device_id, a.lane, count(a.seq) as sequenced, count(*) as accepted from accepted a group by a.device_id, a.lane) n
  where c.device_id = any($3::uuid[]) and c.device_id = n.device_id and c.lane = n.lane
), written as (
  insert into messages (id, tenant_id, device_id, lane, seq, recipient, body, due_at, traceparent, content)
  select i.id, i.tenant_id, i.device_id, i.lane, a.seq, i.recipient, i.body,
    case when a.later then a.scheduled_at else now() end, i.traceparent, i.content::jsonb
  from accepted a join item i on i.ord = a.ord
)
select
  case
    when a.id is not null then 'accepted'
    when k.id is null then 'DEVICE_NOT_FOUND'
    when k.earlier_id is not null and k.same_content then 'replayed'
    when k.earlier_id is not null then 'IDEMPOTENCY_KEY_REUSED'
    when k.suppressed then 'RECIPIENT_SUPPRESSED'
    when k.nth > 1 then 'again'
    when f.id is null then 'BACKLOG_FULL'
    else 'again'
  end as outcome,
  coalesce(a.id, k.earlier_id) as id,
  a.seq,
  coalesce(a.paused, false) as paused
from item i
left join known k on k.ord = i.ord
left join fitting f on f.ord = i.ord
left join accepted a on a.ord = i.ord
order by i.ord
