-- How far the leads of flows are: one row per flow and place. $1 flows. Reads enrolments by their key, never the ledger.
select e.flow_no, case when e.cause is not null then e.cause when e.due_at is null then 'SENDING' else 'WAITING' end as place, count(*) as leads
from enrolments e
where e.flow_no = any($1::integer[])
group by 1, 2
