-- People who said start: what they themselves said stop to is taken back. $1 tenant  $2 phone  $3 LID (either may be null)  $4 device  $5 id of the message
-- $6 received (ms). Result: the suppressions that are gone. Guarantees:
--  W1 only their own word is taken back (OPT_OUT): not what an operator wrote down, and not an erasure;
--  W2 a start that comes a second time, or is older than the stop, lifts nothing.
with said as materialized (
  select i.*
  from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::float8[]) as i (tenant_id, phone, lid, device_id, id, received_ms)
  where not exists (select from inbound_messages m where m.device_id = any($4::uuid[]) and m.device_id = i.device_id and m.id = i.id)
), who as materialized (
  select s.tenant_id, s.phone, s.lid, s.received_ms from said s
  union
  select s.tenant_id, n.phone, n.lid, s.received_ms
  from said s
  cross join lateral (
    (select n.phone, n.lid from identities n where n.tenant_id = s.tenant_id and n.phone = s.phone limit 1)
    union
    (select n.phone, n.lid from identities n where n.tenant_id = s.tenant_id and n.lid = s.lid limit 1)
  ) n
), found as materialized (
  select x.id
  from who w
  cross join lateral (
    (select x.id, x.reason, x.created_at from suppressions x where x.tenant_id = w.tenant_id and x.phone = w.phone limit 1)
    union all
    (select x.id, x.reason, x.created_at from suppressions x where x.tenant_id = w.tenant_id and x.lid = w.lid limit 1)
  ) x
  where x.reason = 'OPT_OUT' and x.created_at < to_timestamp(w.received_ms / 1000.0)
)
delete from suppressions s where s.id = any(array(select f.id from found f)) returning s.id
