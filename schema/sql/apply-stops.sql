-- Makes up for ends of enrolments that another transaction held when they were wanted (flow_end). $1 most. Result: one row: how many were looked at.
with due as materialized (
  select s.flow_no, s.lead_no, s.cause from flow_stops s limit $1 for update skip locked
), held as materialized (
  select e.flow_no, e.lead_no, e.cause
  from due d
  cross join lateral (
    select e.flow_no, e.lead_no, e.cause from enrolments e where e.flow_no = d.flow_no and e.lead_no = d.lead_no limit 1 for no key update skip locked
  ) e
), ended as (
  update enrolments e
  set cause = d.cause, due_at = null, ended_at = clock_timestamp()
  from held h
  join due d on d.flow_no = h.flow_no and d.lead_no = h.lead_no
  where e.flow_no = h.flow_no and e.lead_no = h.lead_no and not flow_stopped(h.cause)
), gone as (
  delete from flow_stops s using held h where s.flow_no = h.flow_no and s.lead_no = h.lead_no
)
select count(*)::integer as looked from due
