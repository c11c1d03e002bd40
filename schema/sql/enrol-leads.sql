-- Enrols named leads in a started flow. $1 tenant  $2 flow id  $3 lead ids
-- Result: one row per lead that begins now (flow_enter says who does not).
select e.lead_no
from (
  select f.no, array(select l.no from leads l where l.id = any($3::uuid[]) and l.tenant_id = $1::uuid) as leads
  from flows f
  where f.tenant_id = $1::uuid and f.id = $2::uuid
) x
cross join lateral flow_enter(x.no, x.leads, array_fill(null::integer, array[cardinality(x.leads)])) as e (lead_no)
