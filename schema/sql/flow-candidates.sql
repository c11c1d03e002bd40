-- Whose turn is next: for each pair of a device and a flow its first enrolments by due time, due or not, at most $3 of each pair.
-- $1 device  $2 flow  $3 room of the pair
-- Result: in (device, due) order, with what a text needs of the lead. Nothing is locked: plan-messages.sql takes each by compare-and-set.
-- One probe of the index a pair; `not_due_ms` of the last row says when to ask again.
select d.id as device_id, e.flow_no, e.lead_no, e.step, l.phone, l.lid, l.name, l.attributes,
  ceil(extract(epoch from e.due_at - now()) * 1000)::bigint as not_due_ms
from unnest($1::uuid[], $2::integer[], $3::integer[]) as p (device_id, flow_no, room)
join devices d on d.id = any($1::uuid[]) and d.id = p.device_id
cross join lateral (
  select e.flow_no, e.lead_no, e.step, e.due_at
  from enrolments e
  where e.flow_no = p.flow_no and e.device_no = d.no and e.due_at is not null
  order by e.due_at
  limit p.room
) e
join leads l on l.no = e.lead_no
order by d.id, e.due_at, e.lead_no
