-- Enrols the next chunk of leads of one flow that is enrolling; whichever process asks. $1 leads looked at, at most
-- Result: no row when no flow is enrolling; else the flow, how many were enrolled and whether that was the last chunk. Guarantees:
--  E1 one process at a time works on a flow (skip locked); its place is kept in the same commit as the rows, so a crash repeats nothing;
--  E2 a lead is enrolled once per flow, and not where it is in another version of it or was and may not come again; nor who asked not to be messaged,
--     or has reached the goal;
--  E3 a lead keeps the device it has; the others are spread evenly over the flow's devices by their number, so a lead meets the same device
--     in every flow that uses the same devices;
--  E4 a flow none of whose devices is there (all deleted or in quarantine) waits for one; it stands in nobody's way;
--  E5 where the start is staggered, the leads of a device are due together, and the devices one after the other: the golden ratio spreads numbers in a row
--     evenly, however many there are;
--  E6 where the campaign has variants, the one of each lead is drawn here, from the numbers of both, and kept.
-- audience: {"tags": any of, "niches": [...], "stages": [...], "consent": true}; devices: {"ids": [...]}, empty = all of the tenant.
with flow as materialized (
  select f.no, f.tenant_id, f.audience, f.devices, f.enrol_from, f.reentry, f.reentry_days, coalesce(f.stagger_ms, 0) as stagger_ms,
    flow_shares(f.variants) as shares,
    -- asked once for the chunk: two probes for each lead are a fifth of the statement
    exists (select from suppressions s where s.tenant_id = f.tenant_id limit 1) as suppresses,
    case when f.kind = 'SEQUENCE'
      then (select array_agg(v.no) from flows v where v.tenant_id = f.tenant_id and v.kind = f.kind and v.name = f.name and v.no <> f.no)
    end as versions,
    (select array_agg(r.value) from flow_rules r where r.flow_no = f.no and r.does = 'END' and r.kind = 'TAG') as goal_tags,
    (select array_agg(r.value) from flow_rules r where r.flow_no = f.no and r.does = 'END' and r.kind = 'STAGE') as goal_stages
  from flows f
  where f.state = 'RUNNING' and f.enrol_from is not null
    and exists (
      select from devices d
      where d.tenant_id = f.tenant_id and d.deleted_at is null and not d.quarantined
        and (f.devices -> 'ids' is null or d.id in (select i::uuid from jsonb_array_elements_text(f.devices -> 'ids') i))
    )
  order by f.changed_at
  limit 1
  for no key update skip locked
), usable as materialized (
  select array_agg(d.no order by d.no) as nos
  from devices d
  join flow f on d.tenant_id = f.tenant_id
  where d.deleted_at is null and not d.quarantined
    and (f.devices -> 'ids' is null or d.id in (select i::uuid from flow g, jsonb_array_elements_text(g.devices -> 'ids') i))
), looked as materialized (
  select l.no, l.phone, l.lid, l.tags, l.niche, l.stage, l.consent_at, l.device_no
  from leads l
  where l.tenant_id = (select f.tenant_id from flow f) and l.no > (select f.enrol_from from flow f)
  order by l.no
  limit $1
), added as (
  insert into enrolments (flow_no, lead_no, device_no, due_at, variant)
  select f.no, l.no, d.no, now() + (s.delay_ms + f.stagger_ms * (d.share - floor(d.share))) * interval '1 millisecond',
    case when f.shares is not null then flow_variant(f.no, l.no, f.shares) end
  from looked l
  cross join flow f
  cross join usable u
  cross join lateral (
    select x.no, x.no * 0.6180339887498949::float8 as share
    from (select case when l.device_no = any(u.nos) then l.device_no else u.nos[1 + l.no % cardinality(u.nos)] end as no) x
  ) d
  join steps s on s.flow_no = f.no and s.position = 1
  where u.nos is not null
    and (f.audience -> 'tags' is null or l.tags && array(select jsonb_array_elements_text(f.audience -> 'tags')))
    and (f.audience -> 'niches' is null or f.audience -> 'niches' ? l.niche)
    and (f.audience -> 'stages' is null or f.audience -> 'stages' ? l.stage)
    and (not coalesce((f.audience ->> 'consent')::boolean, false) or l.consent_at is not null)
    and (f.goal_tags is null or not l.tags && f.goal_tags)
    and (f.goal_stages is null or l.stage is null or l.stage <> all(f.goal_stages))
    and (f.versions is null or (
      -- the limit keeps it a probe
      select e.lead_no from enrolments e
      where e.flow_no = any(f.versions) and e.lead_no = l.no and not flow_reenters(f.reentry, f.reentry_days, e.cause, e.ended_at)
      limit 1
    ) is null)
    -- one probe of an index for each
    and (not f.suppresses or (
      (select 1 from suppressions s where s.tenant_id = f.tenant_id and s.phone = l.phone limit 1) is null
      and (select 1 from suppressions s where s.tenant_id = f.tenant_id and s.lid = l.lid limit 1) is null
    ))
  on conflict do nothing
  returning 1
), kept as (
  update flows f
  set enrol_from = case when n.looked = $1 then n.last end, enrolled = f.enrolled + a.many
  from (select count(*) as looked, max(no) as last from looked) n, (select count(*) as many from added) a
  where f.no = (select g.no from flow g)
  returning f.no, f.tenant_id, f.enrol_from is null as last, a.many
)
select k.no as flow_no, k.tenant_id, k.last, k.many::integer as enrolled from kept k
