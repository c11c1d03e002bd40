-- Starts, pauses, resumes or cancels a flow. $1 tenant  $2 id  $3 wanted state
-- Result: no row when there is none; else its state after the statement and whether this call changed it. Allowed:
--  RUNNING from DRAFT or SCHEDULED (enrolling begins) and from PAUSED; PAUSED from RUNNING or SCHEDULED; CANCELLED from all that have not ended.
-- A version of a sequence that starts takes the place of the earlier ones: leads come into it, those who are in an earlier one stay there.
-- It holds from the commit on: every intent asks for the state (intent.sql N6).
with found as materialized (
  select f.no, f.state, f.tenant_id, f.kind, f.name, f.version from flows f where f.tenant_id = $1::uuid and f.id = $2::uuid for no key update
), moved as (
  update flows f
  set state = case when $3::text = 'RUNNING' and w.state = 'DRAFT' and f.start_at > now() then 'SCHEDULED' else $3::text end,
    enrol_from = case when $3::text = 'RUNNING' and w.state in ('DRAFT', 'SCHEDULED') and f.audience is not null then 0 when $3::text = 'CANCELLED' then null else f.enrol_from end,
    started_at = case when $3::text = 'RUNNING' then coalesce(f.started_at, now()) else f.started_at end,
    ended_at = case when $3::text = 'CANCELLED' then now() end,
    changed_at = clock_timestamp()
  from found w
  where f.no = w.no and case $3::text
    when 'RUNNING' then w.state in ('DRAFT', 'SCHEDULED', 'PAUSED')
    when 'PAUSED' then w.state in ('RUNNING', 'SCHEDULED')
    when 'CANCELLED' then w.state in ('DRAFT', 'SCHEDULED', 'RUNNING', 'PAUSED')
    else false
  end
  returning f.no, f.state
), followed as (
  update flows f
  set superseded_by = w.no
  from found w
  join moved m on m.no = w.no and m.state = 'RUNNING'
  where f.tenant_id = w.tenant_id and f.kind = w.kind and f.kind = 'SEQUENCE' and f.name = w.name and f.version < w.version and f.no <> w.no
    and w.state in ('DRAFT', 'SCHEDULED')
)
select coalesce(m.state, w.state) as state, m.no is not null as changed from found w left join moved m on m.no = w.no
