-- Ends an import that is under way: its gateway hears it with its next batch. $1 tenant  $2 id. No row: there is none, or it has ended.
update lead_imports i
set state = 'CANCELLED', error = 'cancelled', ended_at = clock_timestamp()
where i.id = $2::uuid and i.tenant_id = $1::uuid and i.state = 'RUNNING'
returning i.id
