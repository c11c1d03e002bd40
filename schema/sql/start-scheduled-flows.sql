-- Starts the scheduled flows whose time has come. Result: their tenants.
update flows f
set state = 'RUNNING', started_at = now(), enrol_from = case when f.audience is not null then 0 end, changed_at = clock_timestamp()
where f.state = 'SCHEDULED' and f.start_at <= now()
returning f.tenant_id
