-- Where every lead of every flow is. Result: one row per enrolment, in no order.
select e.flow_no as flow, e.lead_no as lead, e.step, e.cause, d.id as device, l.phone
from enrolments e
join devices d on d.no = e.device_no
join leads l on l.no = e.lead_no
