-- Takes named leads out of a flow. $1 tenant  $2 flow id  $3 lead ids
-- Result: one row: how many were in it and leave now; a message of theirs that waits in the ledger is taken back at the intent.
select flow_end(array_fill(x.no, array[cardinality(x.leads)]), x.leads, array_fill('STOPPED'::text, array[cardinality(x.leads)])) as ended
from (
  select f.no, array(select l.no from leads l where l.id = any($3::uuid[]) and l.tenant_id = $1::uuid) as leads
  from flows f
  where f.tenant_id = $1::uuid and f.id = $2::uuid
) x
