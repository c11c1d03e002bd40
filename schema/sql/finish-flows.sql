-- Campaigns that are through: everybody of their audience is enrolled, and no lead waits or has a message under way. Result: tenants of those that end now.
-- Two probes of an index a campaign that runs, however many leads it has. Sequences go on: leads come into them at any time.
-- A message of it that is redriven later still goes (intent.sql N6).
update flows f
set state = 'DONE', ended_at = clock_timestamp(), changed_at = clock_timestamp()
where f.state = 'RUNNING' and f.kind = 'CAMPAIGN' and f.enrol_from is null
  and not exists (select from enrolments e where e.flow_no = f.no and e.due_at is not null)
  and not exists (select from enrolments e where e.flow_no = f.no and e.cause is null and e.due_at is null)
returning f.tenant_id
