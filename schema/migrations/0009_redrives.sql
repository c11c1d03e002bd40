-- Dead letters by filter, and jobs that put them back (schema/sql/redrive-chunk.sql).
alter table dead_letters add column flow_no integer;
update dead_letters l set flow_no = m.flow_no from messages m where m.id = l.message_id and m.flow_no is not null;

-- Whatever buries a message, in whichever statement: the letter knows its flow.
create function dead_letter_flow() returns trigger language plpgsql as $$
begin
  select m.flow_no into new.flow_no from messages m where m.id = new.message_id;
  return new;
end $$;
create trigger dead_letter_flow before insert on dead_letters for each row execute function dead_letter_flow();

-- walked forwards by jobs, backwards by pages
drop index dead_letters_tenant;
create index dead_letters_tenant on dead_letters (tenant_id, created_at, message_id) where redriven_at is null;

create table redrives (
  id          uuid primary key,
  tenant_id   uuid not null references tenants (id),
  state       text not null default 'RUNNING' check (state in ('RUNNING', 'DONE', 'CANCELLED')),
  reason      text not null,
  -- what was asked for, as it was asked
  filter      jsonb not null,
  -- and as the statements read it; null: any
  states      message_state[],
  causes      text[],
  device_ids  uuid[],
  flow_no     integer,
  since       timestamptz,
  until       timestamptz not null,              -- the moment of the order at the latest: what dies again is not put back again
  redrives_below integer not null,
  per_minute  integer check (per_minute > 0),
  -- letters that fitted when it was ordered; `whole` false: there were more than were counted
  matching    bigint not null,
  whole       boolean not null,
  -- letters up to this one have been dealt with
  at_created  timestamptz not null default '-infinity',
  at_message  uuid not null default '00000000-0000-0000-0000-000000000000',
  redriven    bigint not null default 0,
  suppressed  bigint not null default 0,
  left_out    bigint not null default 0,
  next_at     timestamptz not null default now(),
  created_at  timestamptz not null default now(),
  ended_at    timestamptz
) with (fillfactor = 70);
create index redrives_running on redrives (next_at) where state = 'RUNNING';
create index redrives_tenant on redrives (tenant_id, id desc);
create index redrives_ended on redrives (ended_at) where ended_at is not null;

-- A message of a flow that is put back: its lead is under way again, and so is its flow where it had come to its end.
create function flow_message_redriven() returns trigger language plpgsql as $$
begin
  update enrolments e
  set cause = null
  where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id and e.cause is not null;
  update flows f set state = 'RUNNING', ended_at = null, changed_at = clock_timestamp() where f.no = new.flow_no and f.state = 'DONE';
  return null;
end $$;
create trigger flow_message_redriven after update of state on messages for each row
  when (new.flow_no is not null and new.state = 'QUEUED' and old.state in ('FAILED', 'DEAD'))
  execute function flow_message_redriven();
