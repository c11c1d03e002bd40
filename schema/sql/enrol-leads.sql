-- Enrols named leads in a running flow. $1 tenant  $2 flow id  $3 lead ids
-- Result: one row per lead enrolled now. One who is in the flow already, has asked not to be messaged, or is not of this tenant has none.
with flow as (
  select f.no, f.tenant_id, f.devices from flows f where f.tenant_id = $1::uuid and f.id = $2::uuid and f.state in ('RUNNING', 'PAUSED')
), usable as (
  select array_agg(d.no order by d.no) as nos
  from devices d
  join flow f on d.tenant_id = f.tenant_id
  where d.deleted_at is null and not d.quarantined
    and (f.devices -> 'ids' is null or d.id in (select i::uuid from flow g, jsonb_array_elements_text(g.devices -> 'ids') i))
)
insert into enrolments (flow_no, lead_no, device_no, due_at)
select f.no, l.no, case when l.device_no = any(u.nos) then l.device_no else u.nos[1 + l.no % cardinality(u.nos)] end,
  now() + s.delay_ms * interval '1 millisecond'
from leads l
cross join flow f
cross join usable u
join steps s on s.flow_no = f.no and s.position = 1
where l.tenant_id = $1::uuid and l.id = any($3::uuid[]) and u.nos is not null
  and not exists (select from suppressions s where s.tenant_id = f.tenant_id and (s.phone = l.phone or s.lid = l.lid))
order by l.no
on conflict do nothing
returning lead_no
