-- Whose turn is next: for each pair of a device and a flow its first enrolments by due time, due or not, at most $3 of each pair.
-- $1 device  $2 flow  $3 room of the pair
-- Result: in (device, due) order, with what a text needs of the lead. Nothing is locked: plan-messages.sql takes each by compare-and-set.
-- One probe of the index a pair; `not_due_ms` of the last row says when to ask again. While the provider wants no new chats from a device, only people who
-- know it have a turn, sought among the first thousand: the others keep their place and no message is made for them.
select d.id as device_id, e.flow_no, e.lead_no, e.step, e.variant, l.phone, l.lid, l.name, l.attributes,
  ceil(extract(epoch from e.due_at - now()) * 1000)::bigint as not_due_ms
from unnest($1::uuid[], $2::integer[], $3::integer[]) as p (device_id, flow_no, room)
join devices d on d.id = any($1::uuid[]) and d.id = p.device_id
cross join lateral (
  select coalesce((d.settings -> 'standing' ->> 'coldUntil')::float8 > extract(epoch from now()) * 1000, false) as paused
) cold
cross join lateral (
  select x.*
  from (
    select e.flow_no, e.lead_no, e.step, e.variant, e.due_at
    from enrolments e
    where e.flow_no = p.flow_no and e.device_no = d.no and e.due_at is not null
    order by e.due_at
    limit case when cold.paused then 1000 else p.room end
  ) x
  where not cold.paused or (
    select a.phone
    from (select k.phone from leads k where k.no = x.lead_no limit 1) k
    cross join lateral (select a.phone from acquaintances a where a.device_id = d.id and a.phone = k.phone limit 1) a
  ) is not null
  order by x.due_at
  limit p.room
) e
cross join lateral (select l.phone, l.lid, l.name, l.attributes from leads l where l.no = e.lead_no limit 1) l
order by d.id, e.due_at, e.lead_no
