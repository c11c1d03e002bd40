-- Sequences that leads come into and leave by what happens to them (schema/sql/flows.ts, FlowRule). All of it is done in the statement that writes down what
-- happened, for all leads of it at once: nothing is polled by lead or device.

alter table flows
  -- may a lead that has ended come in again
  add column reentry text not null default 'NEVER' check (reentry in ('NEVER', 'AFTER_END', 'AFTER_DAYS')),
  add column reentry_days integer check (reentry_days between 1 and 3650),
  -- the version of this sequence that takes leads in its place; those who are in this one stay
  add column superseded_by integer references flows (no),
  add check ((reentry = 'AFTER_DAYS') = (reentry_days is not null));
alter table enrolments add column ended_at timestamptz;

-- What leads a lead into a flow (ENROL), and what ends its way through it (END).
create table flow_rules (
  flow_no   integer not null references flows (no),
  tenant_id uuid not null references tenants (id),
  does      text not null check (does in ('ENROL', 'END')),
  kind      text not null check (kind in ('TAG', 'STAGE', 'REPLY', 'KEYWORD', 'WEBHOOK')),
  -- the tag, stage, keyword (as plainWords in schema/domain writes it) or name of the hook; empty for REPLY
  value     text not null default '',
  primary key (flow_no, does, kind, value)
);
create index flow_rules_signal on flow_rules (tenant_id, kind, value);

-- Ends of enrolments that another transaction held at the moment; they are made up for within a second (apply-stops.sql).
create table flow_stops (
  flow_no integer not null,
  lead_no bigint not null,
  cause   text not null,
  primary key (flow_no, lead_no)
);

-- An end that a failed message's redrive does not take back.
create function flow_stopped(cause text) returns boolean language sql immutable as $$
  select coalesce(cause not in ('FAILED', 'DEAD'), false)
$$;

-- May a lead come in again whose last time ended so? null = it has not ended.
create function flow_reenters(reentry text, days integer, cause text, ended_at timestamptz) returns boolean language sql stable as $$
  select cause is not null and case reentry
    when 'AFTER_END' then true
    when 'AFTER_DAYS' then coalesce(ended_at, '-infinity') <= now() - days * interval '1 day'
    else false
  end
$$;

-- Ends ways through flows: (flow, lead, cause) by place. One that waits is over; one whose message is in the ledger has it taken back at the intent
-- (intent.sql N8). Returns how many ended. Waits for nobody: who holds an enrolment may wait for what this transaction holds.
create function flow_end(p_flows integer[], p_leads bigint[], p_causes text[]) returns integer language plpgsql
set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  many integer;
begin
  with wanted as materialized (
    select distinct on (e.flow_no, e.lead_no) e.flow_no, e.lead_no, w.cause
    from unnest(p_flows, p_leads, p_causes) as w (flow_no, lead_no, cause)
    -- the limits keep them probes, whatever the planner believes of the tables
    cross join lateral (select e.flow_no, e.lead_no, e.cause from enrolments e where e.flow_no = w.flow_no and e.lead_no = w.lead_no limit 1) e
    where not flow_stopped(e.cause)
    order by e.flow_no, e.lead_no
  ), held as materialized (
    select e.flow_no, e.lead_no
    from wanted w
    cross join lateral (
      select e.flow_no, e.lead_no from enrolments e
      where e.flow_no = w.flow_no and e.lead_no = w.lead_no and not flow_stopped(e.cause)
      limit 1 for no key update skip locked
    ) e
  ), ended as (
    update enrolments e
    set cause = w.cause, due_at = null, ended_at = clock_timestamp()
    from held h
    join wanted w on w.flow_no = h.flow_no and w.lead_no = h.lead_no
    where e.flow_no = h.flow_no and e.lead_no = h.lead_no
    returning e.flow_no
  ), later as (
    insert into flow_stops (flow_no, lead_no, cause)
    select w.flow_no, w.lead_no, w.cause from wanted w
    where not exists (select from held h where h.flow_no = w.flow_no and h.lead_no = w.lead_no)
    on conflict do nothing
  )
  select count(*) into many from ended;
  return many;
end $$;

-- Leads come into a flow, each through the device named beside it where the flow has that one, else through its own, else spread evenly. Returns those
-- that begin now: not who asked not to be messaged, has reached the goal, is in it (in any version of it), or was and may not come again.
create function flow_enter(p_flow integer, p_leads bigint[], p_through integer[]) returns setof bigint language plpgsql
set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  flow flows;
  usable integer[];
  versions integer[];
  goal_tags text[];
  goal_stages text[];
  wait_ms bigint;
begin
  select * into flow from flows f where f.no = p_flow and f.state in ('RUNNING', 'PAUSED') and f.superseded_by is null;
  if not found then return; end if;
  select array_agg(d.no order by d.no) into usable
  from devices d
  where d.tenant_id = flow.tenant_id and d.deleted_at is null and not d.quarantined
    and (flow.devices -> 'ids' is null or d.id in (select i::uuid from jsonb_array_elements_text(flow.devices -> 'ids') i));
  if usable is null then return; end if;
  select array_agg(v.no) into versions
  from flows v
  where v.tenant_id = flow.tenant_id and v.kind = flow.kind and v.name = flow.name and v.no <> flow.no;
  select array_agg(r.value) filter (where r.kind = 'TAG'), array_agg(r.value) filter (where r.kind = 'STAGE') into goal_tags, goal_stages
  from flow_rules r
  where r.flow_no = flow.no and r.does = 'END';
  select s.delay_ms into wait_ms from steps s where s.flow_no = flow.no and s.position = 1;
  return query
  with coming as materialized (
    select l.no,
      case when w.through = any(usable) then w.through when l.device_no = any(usable) then l.device_no
        else usable[1 + l.no % cardinality(usable)] end as device_no
    from (select distinct on (u.no) u.no, u.through from unnest(p_leads, p_through) as u (no, through) order by u.no) w
    cross join lateral (select * from leads l where l.no = w.no limit 1) l
    where l.tenant_id = flow.tenant_id
      and not exists (select from suppressions s where s.tenant_id = flow.tenant_id and s.phone = l.phone)
      and not exists (select from suppressions s where s.tenant_id = flow.tenant_id and s.lid = l.lid)
      and (goal_tags is null or not l.tags && goal_tags)
      and (goal_stages is null or l.stage is null or l.stage <> all(goal_stages))
      and (versions is null or not exists (
        select from enrolments e
        where e.flow_no = any(versions) and e.lead_no = l.no and not flow_reenters(flow.reentry, flow.reentry_days, e.cause, e.ended_at)
      ))
  ), again as materialized (
    select e.lead_no, c.device_no
    from coming c
    cross join lateral (
      select e.lead_no from enrolments e
      where e.flow_no = flow.no and e.lead_no = c.no and flow_reenters(flow.reentry, flow.reentry_days, e.cause, e.ended_at)
      limit 1 for no key update skip locked
    ) e
  ), back as (
    update enrolments e
    set device_no = a.device_no, step = 1, due_at = clock_timestamp() + wait_ms * interval '1 millisecond', message_id = null, cause = null, ended_at = null
    from again a
    where e.flow_no = flow.no and e.lead_no = a.lead_no
    returning e.lead_no
  ), fresh as (
    insert into enrolments (flow_no, lead_no, device_no, due_at)
    select flow.no, c.no, c.device_no, clock_timestamp() + wait_ms * interval '1 millisecond' from coming c order by c.no
    on conflict do nothing
    returning enrolments.lead_no
  )
  select b.lead_no from back b union all select n.lead_no from fresh n;
end $$;

-- Something happened to leads: (tenant, lead, kind, value, device it came through or null) by place. First it ends ways through flows, then it leads into
-- others. Returns how many came into one.
create function flow_signal(p_tenants uuid[], p_leads bigint[], p_kinds text[], p_values text[], p_through integer[]) returns integer
language plpgsql set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  came integer := 0;
  entry record;
begin
  if p_leads is null then return 0; end if;
  perform flow_end(array_agg(x.flow_no), array_agg(x.lead_no), array_agg(x.cause))
  from (
    select r.flow_no, s.lead_no, case s.kind when 'REPLY' then 'REPLIED' else 'GOAL' end as cause
    from unnest(p_tenants, p_leads, p_kinds, p_values) as s (tenant_id, lead_no, kind, value)
    join flow_rules r on r.tenant_id = s.tenant_id and r.kind = s.kind and r.value = s.value and r.does = 'END'
  ) x;
  for entry in
    select r.flow_no, array_agg(s.lead_no) as leads, array_agg(s.through) as through
    from unnest(p_tenants, p_leads, p_kinds, p_values, p_through) as s (tenant_id, lead_no, kind, value, through)
    join flow_rules r on r.tenant_id = s.tenant_id and r.kind = s.kind and r.value = s.value and r.does = 'ENROL'
    group by r.flow_no
    order by r.flow_no
  loop
    came := came + (select count(*) from flow_enter(entry.flow_no, entry.leads, entry.through));
  end loop;
  return came;
end $$;

-- Whatever writes leads: tags that are new to them and stages they come to are signals. Costs a look where the tenant has no rule of the kind.
create function leads_written() returns trigger language plpgsql as $$
begin
  if not exists (
    select from flow_rules r where r.kind in ('TAG', 'STAGE') and r.tenant_id = any(array(select distinct n.tenant_id from new_leads n))
  ) then
    return null;
  end if;
  -- no join: nothing is known of how large these tables are, and row by row they would be read a million times for a batch of a thousand
  if tg_op = 'INSERT' then
    perform flow_signal(array_agg(x.tenant_id), array_agg(x.no), array_agg(x.kind), array_agg(x.value), array_agg(null::integer))
    from (
      select n.tenant_id, n.no, 'TAG' as kind, t as value from new_leads n cross join unnest(n.tags) t
      union all
      select n.tenant_id, n.no, 'STAGE', n.stage from new_leads n where n.stage is not null
    ) x;
  else
    perform flow_signal(array_agg(x.tenant_id), array_agg(x.no), array_agg(x.kind), array_agg(x.value), array_agg(null::integer))
    from (
      select y.tenant_id, y.no, y.kind, y.value
      from (
        select n.tenant_id, n.no, 'TAG' as kind, t as value, true as new from new_leads n cross join unnest(n.tags) t
        union all
        select n.tenant_id, n.no, 'STAGE', n.stage, true from new_leads n where n.stage is not null
        union all
        select o.tenant_id, o.no, 'TAG', t, false from old_leads o cross join unnest(o.tags) t
        union all
        select o.tenant_id, o.no, 'STAGE', o.stage, false from old_leads o where o.stage is not null
      ) y
      group by y.tenant_id, y.no, y.kind, y.value
      having bool_and(y.new)
    ) x;
  end if;
  return null;
end $$;
create trigger leads_inserted after insert on leads referencing new table as new_leads for each statement execute function leads_written();
create trigger leads_updated after update on leads referencing old table as old_leads new table as new_leads for each statement
  execute function leads_written();

-- As before, and: an enrolment that was stopped stays so whatever its message comes to; a lead goes on in the version of the next sequence that takes
-- leads, if that one lets it in; ends have a time.
create or replace function flow_message_ended() returns trigger language plpgsql as $$
begin
  if new.state in ('SENT', 'DELIVERED', 'READ') then
    update enrolments e
    set step = e.step + 1,
      message_id = null,
      cause = case when flow_stopped(e.cause) then e.cause when s.delay_ms is null then 'DONE' end,
      ended_at = case when flow_stopped(e.cause) then e.ended_at when s.delay_ms is null then clock_timestamp() end,
      due_at = case when not flow_stopped(e.cause) and s.delay_ms is not null then clock_timestamp() + s.delay_ms * interval '1 millisecond' end
    from (select (select s.delay_ms from steps s where s.flow_no = new.flow_no and s.position = new.step + 1) as delay_ms) s
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
    if found then
      insert into enrolments as n (flow_no, lead_no, device_no, due_at)
      select x.no, e.lead_no, e.device_no, clock_timestamp() + s.delay_ms * interval '1 millisecond'
      from enrolments e
      cross join lateral (select f.next_flow_no from flows f where f.no = new.flow_no limit 1) f
      cross join lateral (select y.no, y.superseded_by from flows y where y.no = f.next_flow_no limit 1) y
      cross join lateral (
        select x.* from flows x where x.no = coalesce(y.superseded_by, y.no) and x.state in ('RUNNING', 'PAUSED') limit 1
      ) x
      cross join lateral (select s.delay_ms from steps s where s.flow_no = x.no and s.position = 1 limit 1) s
      where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.cause = 'DONE'
        and (
          select o.lead_no
          from enrolments o
          where o.flow_no = any(array(
              select v.no from flows v where v.tenant_id = x.tenant_id and v.kind = x.kind and v.name = x.name and v.no <> x.no
            ))
            and o.lead_no = new.lead_no and not flow_reenters(x.reentry, x.reentry_days, o.cause, o.ended_at)
          limit 1
        ) is null
      on conflict (flow_no, lead_no) do update
      set device_no = excluded.device_no, step = 1, due_at = excluded.due_at, message_id = null, cause = null, ended_at = null
      where (select flow_reenters(r.reentry, r.reentry_days, n.cause, n.ended_at) from flows r where r.no = n.flow_no);
    end if;
  elsif new.state = 'CANCELLED' and new.cause = 'FLOW_PAUSED' then
    update enrolments e
    set message_id = null,
      cause = case when flow_stopped(e.cause) then e.cause end,
      ended_at = case when flow_stopped(e.cause) then e.ended_at end,
      due_at = case when not flow_stopped(e.cause) then clock_timestamp() end
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
    if found then
      update flows f set state = 'RUNNING', ended_at = null, changed_at = clock_timestamp() where f.no = new.flow_no and f.state = 'DONE';
    end if;
  elsif new.state in ('FAILED', 'DEAD') then
    update enrolments e
    set cause = case when flow_stopped(e.cause) then e.cause else new.state::text end, ended_at = coalesce(e.ended_at, clock_timestamp())
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  else
    update enrolments e
    set cause = case when flow_stopped(e.cause) then e.cause else new.state::text end, ended_at = coalesce(e.ended_at, clock_timestamp()),
      message_id = null
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  end if;
  return null;
end $$;
