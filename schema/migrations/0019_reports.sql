-- Reports: what became of messages, counted by minute, hour and day for each fleet, device, campaign or sequence, and node; exactly, because the counts begin
-- in the transaction that changes the messages. Two steps keep that cheap: a statement adds one row of arrays here for all the messages it ended
-- (nothing is looked up, nothing is locked, so owners never wait for each other), and now and then those rows are folded into steps (schema/sql/fold-reports.sql).

create table report_events (
  no            bigint generated always as identity primary key,
  at            timestamptz not null default clock_timestamp(),
  node          text,
  -- one element for each message, all arrays alike
  devices       uuid[] not null,
  flows         integer[] not null,
  was           message_state[] not null,
  said          message_state[] not null,
  proof         smallint[] not null,             -- 1 sent, 2 delivered, 4 read: what was proven by this
  causes        text[] not null,
  began         timestamptz[] not null,          -- the intent of the last attempt
  accepted      timestamptz[] not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create table report_steps (
  tenant_id  uuid not null,
  about      text not null check (about in ('FLEET', 'DEVICE', 'FLOW', 'NODE')),
  grain      integer not null check (grain in (60, 3600, 86400)),   -- s
  subject    text not null,                      -- '' (the fleet), number of the device or flow, name of the node
  start      timestamptz not null,
  sent       integer not null default 0,
  delivered  integer not null default 0,
  read       integer not null default 0,
  failed     integer not null default 0,
  dead       integer not null default 0,
  cancelled  integer not null default 0,
  suppressed integer not null default 0,
  retried    integer not null default 0,
  -- failed, dead, cancelled or suppressed before, and open or proven sent now
  taken_back integer not null default 0,
  -- how many durations fell into each class (schema/domain/durations.ts)
  processing integer[] not null default '{}',
  latency    integer[] not null default '{}',
  primary key (tenant_id, about, grain, subject, start)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
create index report_steps_old on report_steps (about, grain, start);

create table report_causes (
  tenant_id uuid not null,
  about     text not null,
  grain     integer not null,
  subject   text not null,
  start     timestamptz not null,
  outcome   text not null,                       -- FAILED, DEAD, CANCELLED, SUPPRESSED, RETRIED
  cause     text not null,
  messages  integer not null,
  primary key (tenant_id, about, grain, subject, start, outcome, cause)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
create index report_causes_old on report_causes (about, grain, start);

-- A statement that only begins or writes attempts has nothing to report, and is let go before anything is joined.
create function report_messages() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from after_rows n where n.state not in ('SENDING', 'WRITTEN')) then
    return null;
  end if;
  insert into report_events (node, devices, flows, was, said, proof, causes, began, accepted)
  select n.node, array_agg(n.device_id), array_agg(n.flow_no), array_agg(o.state), array_agg(n.state),
    array_agg((num_nonnulls(n.sent_at) - num_nonnulls(o.sent_at) + 2 * (num_nonnulls(n.delivered_at) - num_nonnulls(o.delivered_at))
      + 4 * (num_nonnulls(n.read_at) - num_nonnulls(o.read_at)))::smallint),
    array_agg(n.cause), array_agg(n.intent_at), array_agg(n.created_at)
  from after_rows n
  join before_rows o on o.id = n.id
  where n.state <> o.state
    and (n.state > 'UNKNOWN' or o.state > 'UNKNOWN' or n.state = 'QUEUED' and o.state in ('SENDING', 'WRITTEN', 'UNKNOWN'))
  group by n.node;
  return null;
end $$;
create trigger report_messages after update on messages referencing old table as before_rows new table as after_rows
  for each statement execute function report_messages();

-- The class of a duration: schema/domain/durations.ts says which, and a test that they agree.
create function duration_class(ms float8) returns integer language sql immutable as $$
  select case when ms <= 1 then 0 else least(47, ceil(2 * ln(ms) / ln(2::float8) - 1e-9)::integer) end
$$;

-- Counts by class: so many of each class given; and the sum of two such counts.
create function class_counts(classes integer[], weights bigint[]) returns integer[] language plpgsql immutable as $$
declare
  counts integer[] := '{}';
  class integer;
begin
  for place in 1 .. coalesce(array_length(classes, 1), 0) loop
    class := classes[place];
    if class is null then continue; end if;
    for more in coalesce(array_length(counts, 1), 0) .. class loop counts[more + 1] := 0; end loop;
    counts[class + 1] := counts[class + 1] + weights[place];
  end loop;
  return counts;
end $$;
create function add_class_counts(a integer[], b integer[]) returns integer[] language plpgsql immutable as $$
declare
  counts integer[] := a;
begin
  for place in 1 .. coalesce(array_length(b, 1), 0) loop
    counts[place] := coalesce(counts[place], 0) + b[place];
  end loop;
  return counts;
end $$;
