-- Ends a redrive that runs; what was put back stays. Waits for the chunk that is under way. $1 tenant  $2 id
update redrives r set state = 'CANCELLED', ended_at = clock_timestamp()
where r.id = $2::uuid and r.tenant_id = $1::uuid and r.state = 'RUNNING'
returning r.id
