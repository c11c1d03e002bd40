-- The history of a tenant, all writers together, one row per step that had any traffic; arrays of all writers as they are.
-- $1 tenant  $2 grain (s)  $3 from (ms, a multiple of the grain)
select floor(extract(epoch from h.start) * 1000)::bigint as start, h.accepted, h.sent, h.delivered, h.failed,
  array_to_string(h.processing, ',') as processing, array_to_string(h.latency, ',') as latency
from traffic_history h
where h.tenant_id = $1::uuid and h.grain = $2::smallint and h.start >= to_timestamp($3::float8 / 1000.0)
order by h.start
