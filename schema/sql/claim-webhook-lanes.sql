-- Takes the next events of lanes that have something to send, the longest waiting lanes first; a lane is one claimer's until it is settled or its time is up.
-- $1 claim  $2 most lanes  $3 most lanes of one webhook that fails  $4 hold (ms)
-- Result: one row per event, with what it is about as it is kept now, in order. Guarantees:
--  W1 one request of a lane is under way at a time, whoever sends it: events of one message go out in the order of its states;
--  W2 events that failed together go together again, and nothing is put to them.
with recursive waiting as (
  (select d.webhook_id, d.lane from webhook_deliveries d where d.state = 'PENDING' order by d.webhook_id, d.lane limit 1)
  union all
  select n.webhook_id, n.lane
  from waiting w
  cross join lateral (
    select d.webhook_id, d.lane from webhook_deliveries d
    where d.state = 'PENDING' and (d.webhook_id, d.lane) > (w.webhook_id, w.lane)
    order by d.webhook_id, d.lane
    limit 1
  ) n
), free as materialized (
  select w.webhook_id, w.lane, l.next_at, h.batch,
    row_number() over (partition by w.webhook_id order by l.next_at, w.lane) + (
      select count(*) from webhook_lanes b where b.webhook_id = w.webhook_id and b.claim is not null and b.next_at > clock_timestamp()
    ) as nth,
    h.failing
  from waiting w
  cross join lateral (
    select l.next_at from webhook_lanes l where l.webhook_id = w.webhook_id and l.lane = w.lane and l.next_at <= clock_timestamp() limit 1
  ) l
  cross join lateral (
    select h.batch, h.failing_since is not null as failing from webhooks h
    where h.id = w.webhook_id and h.disabled_at is null and h.deleted_at is null
    limit 1
  ) h
), lane as materialized (
  select l.webhook_id, l.lane, f.batch
  from (select * from free f where not f.failing or f.nth <= $3 order by f.next_at limit $2) f
  cross join lateral (
    select l.webhook_id, l.lane from webhook_lanes l
    where l.webhook_id = f.webhook_id and l.lane = f.lane and l.next_at <= clock_timestamp()
    for no key update of l skip locked
  ) l
), claimed as (
  update webhook_lanes l
  set claim = $1::uuid, next_at = clock_timestamp() + $4::float8 * interval '1 millisecond'
  from lane n
  where l.webhook_id = any(array(select x.webhook_id from lane x)) and l.webhook_id = n.webhook_id and l.lane = n.lane
  returning l.webhook_id, l.lane, l.failures
), event as materialized (
  select c.webhook_id, c.lane, c.failures, e.*
  from claimed c
  join lane n on n.webhook_id = c.webhook_id and n.lane = c.lane
  cross join lateral (
    select d.no, d.type, d.message_id, d.device_id, d.inbound_id, d.flow_no, d.detail, d.at, d.tries, d.tenant_id,
      first_value(d.tries) over (order by d.no) as head_tries
    from (
      select * from webhook_deliveries d
      where d.webhook_id = c.webhook_id and d.lane = c.lane and d.state = 'PENDING'
      order by d.no
      limit n.batch
    ) d
  ) e
)
select e.webhook_id, e.lane, e.failures, e.no, e.type, e.message_id, e.device_id, e.inbound_id, e.detail, e.tries,
  floor(extract(epoch from e.at) * 1000)::bigint as at,
  h.url, h.batch, h.secret, case when h.secret_before_until > now() then h.secret_before end as secret_before,
  m.recipient, m.lead_no, m.step, v.name as device_name, i.sender, i.body,
  f.id as flow_id, f.kind as flow_kind, f.name as flow_name
from event e
cross join lateral (select w.url, w.batch, w.secret, w.secret_before, w.secret_before_until from webhooks w where w.id = e.webhook_id limit 1) h
left join lateral (
  select m.recipient, m.lead_no, m.step from messages m where m.id = e.message_id and m.tenant_id = e.tenant_id limit 1
) m on true
left join lateral (select d.name from devices d where d.id = e.device_id limit 1) v on true
left join lateral (select i.sender, i.body from inbound_messages i where i.device_id = e.device_id and i.id = e.inbound_id limit 1) i on true
left join lateral (select f.id, f.kind, f.name from flows f where f.no = e.flow_no limit 1) f on true
where e.tries = e.head_tries
order by e.webhook_id, e.lane, e.no
