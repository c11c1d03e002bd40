-- Queue depths now: messages accepted and not yet ended, from counters. $1 tenant  $2 node (null = any)  $3 device (null = all)
-- Result: one row per device that is there, in the order of their numbers.
with mine as materialized (
  select array(
    select d.id from devices d where d.tenant_id = $1::uuid and d.deleted_at is null and ($3::uuid is null or d.id = $3::uuid)
  ) as ids
), owned as materialized (
  select o.device_id, o.node, o.ended from ownership o cross join mine m where o.device_id = any(m.ids) and ($2::text is null or o.node = $2)
), accepted as materialized (
  select l.device_id, sum(l.accepted) as messages from lane_counters l cross join mine m where l.device_id = any(m.ids) group by l.device_id
)
select d.no, d.id, d.name, o.node, greatest(0, coalesce(a.messages, 0) - o.ended)::bigint as depth
from devices d
cross join mine m
join owned o on o.device_id = d.id
left join accepted a on a.device_id = d.id
where d.id = any(m.ids)
order by d.no
