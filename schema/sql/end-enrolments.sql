-- Ends enrolments that wait, by compare-and-set on their step. $1 flow  $2 lead  $3 step  $4 cause
update enrolments e
set due_at = null, cause = i.cause, ended_at = clock_timestamp()
from unnest($1::integer[], $2::bigint[], $3::smallint[], $4::text[]) as i (flow_no, lead_no, step, cause)
where e.flow_no = i.flow_no and e.lead_no = i.lead_no and e.step = i.step and e.due_at is not null
