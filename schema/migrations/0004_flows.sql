-- Campaigns and sequences are both flows: steps that leads go through, one message at a time (docs/decisions/0009-flows.md).
-- None of these tables had a writer before.
drop table enrolments, steps, sequences, campaigns;

-- Short numbers beside the ids: millions of enrolments carry them in rows and indexes.
alter table devices add column no integer generated always as identity;
create unique index devices_no on devices (no);
alter table leads
  add column no bigint generated always as identity,
  add column niche text,
  -- keeps talking through this device
  add column device_no integer,
  add column changed_at timestamptz not null default now();
create unique index leads_no on leads (no);
create index leads_tenant on leads (tenant_id, no);

create table flows (
  no          integer generated always as identity primary key,
  id          uuid not null unique,
  tenant_id   uuid not null references tenants (id),
  kind        text not null check (kind in ('CAMPAIGN', 'SEQUENCE')),
  name        text not null,
  version     integer not null default 1,
  state       text not null default 'DRAFT' check (state in ('DRAFT', 'SCHEDULED', 'RUNNING', 'PAUSED', 'CANCELLED', 'DONE')),
  lane        lane not null,
  -- which leads, which devices, when, how fast: schema/sql/flows.ts
  audience    jsonb,                             -- null: leads come one by one, by `enrol`
  devices     jsonb not null default '{}',
  hours       jsonb,
  settings    jsonb not null default '{}',
  -- a lead that has gone through goes on there
  next_flow_no integer references flows (no),
  -- enrolling: leads up to this number have been looked at; null when no enrolling is under way
  enrol_from  bigint,
  enrolled    bigint not null default 0,
  created_at  timestamptz not null default now(),
  changed_at  timestamptz not null default now(),
  start_at    timestamptz,
  started_at  timestamptz,
  ended_at    timestamptz,
  unique (tenant_id, kind, name, version)
);
create index flows_live on flows (state) where state in ('SCHEDULED', 'RUNNING');
create index flows_tenant on flows (tenant_id, no);

create table steps (
  flow_no   integer not null references flows (no),
  position  smallint not null check (position >= 1),
  delay_ms  bigint not null check (delay_ms >= 0),
  -- from enrolment for the first, from the send of the one before for the others
  template  text not null,
  primary key (flow_no, position)
);

-- One row per lead and flow: only the next message ever exists.
--  waiting for its time: due_at is set, message_id is not
--  its message is in the ledger: message_id is set, due_at is not
--  ended: cause is set, neither of the others (message_id stays where a redrive could go on)
create table enrolments (
  flow_no    integer not null,
  lead_no    bigint not null,
  device_no  integer not null,
  step       smallint not null default 1,
  due_at     timestamptz,
  message_id uuid,
  cause      text,
  primary key (flow_no, lead_no)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index enrolments_due on enrolments (flow_no, device_no, due_at) where due_at is not null;

alter table messages drop column campaign_id, drop column enrolment_id;
alter table messages add column flow_no integer, add column lead_no bigint, add column step smallint;

-- Runs now: its state says so and, where it has hours, they are open in their zone. hours = {"zone", "from": "09:00", "to": "18:00", "days": [1..7]}
-- (ISO days of the week); to <= from reaches over midnight, and the day is that of its beginning.
create function flow_is_open(state text, hours jsonb, at timestamptz) returns boolean language sql stable as $$
  select state = 'RUNNING' and (hours is null or exists (
    select from (select at at time zone (hours ->> 'zone') as here, (hours ->> 'from')::time as t0, (hours ->> 'to')::time as t1) h
    where case
      when h.t0 < h.t1 then h.here::time >= h.t0 and h.here::time < h.t1 and (hours -> 'days') @> to_jsonb(extract(isodow from h.here)::int)
      else h.here::time >= h.t0 and (hours -> 'days') @> to_jsonb(extract(isodow from h.here)::int)
        or h.here::time < h.t1 and (hours -> 'days') @> to_jsonb(extract(isodow from h.here - interval '1 day')::int)
    end
  ))
$$;

-- Whatever ends a message of a flow, in whichever statement: its enrolment goes on or ends in the same transaction.
create function flow_message_ended() returns trigger language plpgsql as $$
begin
  if new.state in ('SENT', 'DELIVERED', 'READ') then
    update enrolments e
    set step = e.step + 1,
      message_id = null,
      cause = case when s.delay_ms is null then 'DONE' end,
      due_at = case when s.delay_ms is not null then clock_timestamp() + s.delay_ms * interval '1 millisecond' end
    from (select (select s.delay_ms from steps s where s.flow_no = new.flow_no and s.position = new.step + 1) as delay_ms) s
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
    if found then
      insert into enrolments (flow_no, lead_no, device_no, due_at)
      select n.no, e.lead_no, e.device_no, clock_timestamp() + s.delay_ms * interval '1 millisecond'
      from enrolments e
      join flows f on f.no = e.flow_no
      join flows n on n.no = f.next_flow_no and n.state in ('RUNNING', 'PAUSED')
      join steps s on s.flow_no = n.no and s.position = 1
      where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.cause = 'DONE'
      on conflict do nothing;
    end if;
  elsif new.state = 'CANCELLED' and new.cause = 'FLOW_PAUSED' then
    update enrolments e
    set message_id = null, due_at = clock_timestamp()
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  elsif new.state in ('FAILED', 'DEAD') then
    update enrolments e
    set cause = new.state::text
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  else
    update enrolments e
    set cause = new.state::text, message_id = null
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  end if;
  return null;
end $$;
create trigger flow_message_ended after update of state on messages for each row
  -- an end, or proof that comes after a worse end
  when (new.flow_no is not null and new.state > 'UNKNOWN' and old.state < 'SENT' and old.state <> new.state)
  execute function flow_message_ended();
