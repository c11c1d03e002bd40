-- Adds counts to 10 s buckets. $1 tenant  $2 bucket start (ms)  $3 node  $4 sent  $5 delivered  $6 failed; one item per (tenant, bucket, node)
insert into traffic as t (tenant_id, bucket, node, sent, delivered, failed)
select i.tenant_id, to_timestamp(i.bucket_ms / 1000.0), i.node, i.sent, i.delivered, i.failed
from unnest($1::uuid[], $2::float8[], $3::text[], $4::integer[], $5::integer[], $6::integer[]) as i (tenant_id, bucket_ms, node, sent, delivered, failed)
order by 1, 2, 3
on conflict (tenant_id, bucket, node) do update
  set sent = t.sent + excluded.sent, delivered = t.delivered + excluded.delivered, failed = t.failed + excluded.failed
