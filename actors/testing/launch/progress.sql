-- How far a launch is. $1 flow. Counts come from the flow itself and from the ledger's own counters, never from a scan.
select f.enrolled, f.enrol_from is not null as enrolling, f.state,
  (select coalesce(sum(o.ended), 0) from ownership o)::bigint as ended
from flows f
where f.no = $1
