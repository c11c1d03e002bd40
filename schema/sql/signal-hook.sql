-- A webhook was called for leads of these phones. $1 tenant  $2 name of the hook  $3 phones
-- Result: one row: how many came into a sequence, and whether any started sequence listens to that hook.
select flow_signal(array_agg($1::uuid), array_agg(l.no), array_agg('WEBHOOK'::text), array_agg($2::text), array_agg(null::integer)) as enrolled,
  exists (
    select from flow_rules r join flows f on f.no = r.flow_no
    where r.tenant_id = $1::uuid and r.kind = 'WEBHOOK' and r.value = $2::text and f.state in ('RUNNING', 'PAUSED')
  ) as known
from leads l
where l.tenant_id = $1::uuid and l.phone = any($3::text[])
