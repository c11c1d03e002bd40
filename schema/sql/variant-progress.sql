-- How far the leads of a campaign with variants are: one row per variant and place. $1 flow. Reads enrolments by their key, never the ledger.
select e.variant, case when e.cause is not null then e.cause when e.due_at is null then 'SENDING' else 'WAITING' end as place, count(*)::integer as leads
from enrolments e
where e.flow_no = $1::integer and e.variant is not null
group by 1, 2
