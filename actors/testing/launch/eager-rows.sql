-- Messages made up front: $2 leads, each with every step of flow $1. What a row holds is what plan-messages.sql writes.
insert into eager_messages (id, tenant_id, device_id, lane, seq, recipient, body, due_at, flow_no, lead_no, step)
select gen_random_uuid(), f.tenant_id, d.id, f.lane, row_number() over (), l.phone, s.template, now(), f.no, l.no, s.position
from flows f
join steps s on s.flow_no = f.no
join (select * from leads where tenant_id = (select tenant_id from flows where no = $1) order by no limit $2::bigint) l on true
join devices d on d.no = 1 + l.no % (select count(*) from devices)
where f.no = $1
