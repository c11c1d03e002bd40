-- Counts what was reported (trigger report_messages) into the steps of the reports. $1 most rows of report_events; those of one minute are taken at a time.
-- Result: one row, how many rows were folded; 0 when there is nothing left, or somebody else is at it. Guarantees:
--  F1 what is counted is deleted by the same statement: every change of a message counts once, whatever dies when;
--  F2 causes are names (A_B1), at most 64 long; anything else is OTHER: steps stay bounded.
with turn as materialized (
  select pg_try_advisory_xact_lock(727005) as mine
), oldest as materialized (
  select x.no, date_bin('1 minute', x.at, 'epoch'::timestamptz) as minute
  from report_events x where (select t.mine from turn t) order by x.no limit $1::integer
), minute as materialized (
  select o.minute as at from oldest o order by o.no limit 1
), taken as materialized (
  delete from report_events r
  where r.no = any(array(select o.no from oldest o where o.minute = (select m.at from minute m)))
  returning r.at, r.node, r.devices, r.flows, r.was, r.said, r.proof, r.causes, r.began, r.accepted, r.variants
), event as materialized (
  select t.node, e.device_id, e.flow_no, e.variant, e.was, e.said, e.proof,
    case
      when e.said between 'FAILED' and 'SUPPRESSED' then e.said::text
      when e.said = 'QUEUED' and e.was < 'FAILED' then 'RETRIED'
    end as outcome,
    e.cause,
    case when e.was between 'SENDING' and 'UNKNOWN' and e.said <> 'UNKNOWN' then duration_class(extract(epoch from t.at - e.began)::float8 * 1000) end as processing,
    case when e.proof & 1 > 0 then duration_class(extract(epoch from t.at - e.accepted)::float8 * 1000) end as latency
  from taken t
  cross join lateral unnest(t.devices, t.flows, t.was, t.said, t.proof, t.causes, t.began, t.accepted, t.variants)
    as e (device_id, flow_no, was, said, proof, cause, began, accepted, variant)
), device as materialized (
  select d.id, d.no, d.tenant_id from devices d where d.id = any(array(select distinct e.device_id from event e))
), fine as materialized (
  select d.tenant_id, d.no as device_no, e.flow_no, e.variant, e.node, e.was between 'FAILED' and 'SUPPRESSED' as taken_back, e.outcome, e.proof,
    case when e.outcome is null then null when e.cause ~ '^[A-Z][A-Z0-9_]{0,63}$' then e.cause when e.cause is null then 'UNSPECIFIED' else 'OTHER' end as cause,
    e.processing, e.latency, count(*) as n
  from event e
  join device d on d.id = e.device_id
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
), coarse as materialized (
  -- few: what is not about a device is counted from these
  select f.tenant_id, f.flow_no, f.variant, f.node, f.taken_back, f.outcome, f.proof, f.cause, f.processing, f.latency, sum(f.n)::bigint as n
  from fine f
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
), told as (
  select f.tenant_id, 'DEVICE' as about, f.device_no::text as subject, f.taken_back, f.outcome, f.proof, f.cause, f.processing, f.latency, f.n from fine f
  union all
  select c.tenant_id, s.about, s.subject, c.taken_back, c.outcome, c.proof, c.cause, c.processing, c.latency, c.n
  from coarse c
  cross join lateral (values ('FLEET', ''), ('FLOW', c.flow_no::text), ('FLOW', c.flow_no || '/' || c.variant), ('NODE', c.node)) as s (about, subject)
  where s.subject is not null
), counted as materialized (
  select t.tenant_id, t.about, t.subject,
    coalesce(sum(t.n) filter (where t.proof & 1 > 0), 0) as sent,
    coalesce(sum(t.n) filter (where t.proof & 2 > 0), 0) as delivered,
    coalesce(sum(t.n) filter (where t.proof & 4 > 0), 0) as read,
    coalesce(sum(t.n) filter (where t.outcome = 'FAILED'), 0) as failed,
    coalesce(sum(t.n) filter (where t.outcome = 'DEAD'), 0) as dead,
    coalesce(sum(t.n) filter (where t.outcome = 'CANCELLED'), 0) as cancelled,
    coalesce(sum(t.n) filter (where t.outcome = 'SUPPRESSED'), 0) as suppressed,
    coalesce(sum(t.n) filter (where t.outcome = 'RETRIED'), 0) as retried,
    coalesce(sum(t.n) filter (where t.taken_back), 0) as taken_back,
    class_counts(array_agg(t.processing), array_agg(t.n)) as processing,
    class_counts(array_agg(t.latency), array_agg(t.n)) as latency
  from told t
  group by t.tenant_id, t.about, t.subject
), caused as (
  insert into report_causes as k (tenant_id, about, grain, subject, start, outcome, cause, messages)
  select t.tenant_id, t.about, g.grain, t.subject, date_bin(g.grain * interval '1 second', (select m.at from minute m), 'epoch'::timestamptz), t.outcome,
    t.cause, sum(t.n)
  from told t
  cross join (values (60), (3600), (86400)) as g (grain)
  where t.outcome is not null
  group by 1, 2, 3, 4, 5, 6, 7
  order by 1, 2, 3, 4, 5, 6, 7
  on conflict (tenant_id, about, grain, subject, start, outcome, cause) do update set messages = k.messages + excluded.messages
), stepped as (
  insert into report_steps as s (tenant_id, about, grain, subject, start, sent, delivered, read, failed, dead, cancelled, suppressed, retried, taken_back,
    processing, latency)
  select c.tenant_id, c.about, g.grain, c.subject, date_bin(g.grain * interval '1 second', (select m.at from minute m), 'epoch'::timestamptz),
    c.sent, c.delivered, c.read, c.failed, c.dead, c.cancelled, c.suppressed, c.retried, c.taken_back, c.processing, c.latency
  from counted c
  cross join (values (60), (3600), (86400)) as g (grain)
  order by 1, 2, 3, 4, 5
  on conflict (tenant_id, about, grain, subject, start) do update
    set sent = s.sent + excluded.sent, delivered = s.delivered + excluded.delivered, read = s.read + excluded.read, failed = s.failed + excluded.failed,
      dead = s.dead + excluded.dead, cancelled = s.cancelled + excluded.cancelled, suppressed = s.suppressed + excluded.suppressed,
      retried = s.retried + excluded.retried, taken_back = s.taken_back + excluded.taken_back,
      processing = add_class_counts(s.processing, excluded.processing), latency = add_class_counts(s.latency, excluded.latency)
)
select count(*) as folded from taken
