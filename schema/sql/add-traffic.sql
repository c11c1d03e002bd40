-- Adds counts to 10 s buckets, and to the minutes and hours of the history.
-- Buckets: $1 tenant  $2 start (ms)  $3 node  $4 sent  $5 delivered  $6 failed; one item per (tenant, bucket, node)
-- History: $7 tenant  $8 grain (s)  $9 start (ms)  $10 node  $11 accepted  $12 sent  $13 delivered  $14 failed  $15 processing  $16 latency (counts by
-- class, each as the text of an integer[]); one item per (tenant, grain, start, node)
with bucketed as (
  insert into traffic as t (tenant_id, bucket, node, sent, delivered, failed)
  select i.tenant_id, to_timestamp(i.bucket_ms / 1000.0), i.node, i.sent, i.delivered, i.failed
  from unnest($1::uuid[], $2::float8[], $3::text[], $4::integer[], $5::integer[], $6::integer[]) as i (tenant_id, bucket_ms, node, sent, delivered, failed)
  order by 1, 2, 3
  on conflict (tenant_id, bucket, node) do update
    set sent = t.sent + excluded.sent, delivered = t.delivered + excluded.delivered, failed = t.failed + excluded.failed
)
insert into traffic_history as h (tenant_id, grain, start, node, accepted, sent, delivered, failed, processing, latency)
select i.tenant_id, i.grain, to_timestamp(i.start_ms / 1000.0), i.node, i.accepted, i.sent, i.delivered, i.failed, i.processing::integer[],
  i.latency::integer[]
from unnest($7::uuid[], $8::smallint[], $9::float8[], $10::text[], $11::integer[], $12::integer[], $13::integer[], $14::integer[], $15::text[], $16::text[])
  as i (tenant_id, grain, start_ms, node, accepted, sent, delivered, failed, processing, latency)
order by 1, 2, 3, 4
on conflict (tenant_id, grain, start, node) do update
  set accepted = h.accepted + excluded.accepted, sent = h.sent + excluded.sent, delivered = h.delivered + excluded.delivered,
    failed = h.failed + excluded.failed,
    processing = coalesce((
      select array_agg(coalesce(u.a, 0) + coalesce(u.b, 0) order by u.n)
      from unnest(h.processing, excluded.processing) with ordinality as u (a, b, n)
    ), '{}'),
    latency = coalesce((
      select array_agg(coalesce(u.a, 0) + coalesce(u.b, 0) order by u.n)
      from unnest(h.latency, excluded.latency) with ordinality as u (a, b, n)
    ), '{}')
