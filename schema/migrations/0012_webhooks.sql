-- Webhooks: what is told to whom, and what became of it (schema/domain/webhooks.ts). The table `webhooks` had no writer before.
alter table webhooks
  -- events in one request
  add column batch smallint not null default 1 check (batch between 1 and 100),
  -- the secret before the last rotation signs too, for a while
  add column secret_before bytea,
  add column secret_before_until timestamptz,
  -- since the last request that was taken
  add column failing_since timestamptz,
  add column failures integer not null default 0,
  add column last_error text,
  add column succeeded_at timestamptz,
  add column deleted_at timestamptz;
create index webhooks_tenant on webhooks (tenant_id, id) where deleted_at is null;
create index webhooks_on on webhooks (tenant_id) where disabled_at is null and deleted_at is null;

-- Who may send what is next: events of one subject (message, device) share a lane, and a lane has one request under way.
create table webhook_lanes (
  webhook_id uuid not null references webhooks (id),
  lane       smallint not null,
  -- a claim holds the lane until then, whatever became of the claimer; after a failure: when to try again
  next_at    timestamptz not null default '-infinity',
  claim      uuid,
  failures   integer not null default 0,
  primary key (webhook_id, lane)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- One row per webhook and event. It names what it is about; people's numbers and texts are read where they are kept, when it is sent.
create table webhook_deliveries (
  no         bigint generated always as identity primary key,
  webhook_id uuid not null,
  tenant_id  uuid not null,
  lane       smallint not null,
  type       text not null,
  message_id uuid,
  device_id  uuid,
  inbound_id text,
  flow_no    integer,
  detail     jsonb not null default '{}',
  at         timestamptz not null,
  state      text not null default 'PENDING' check (state in ('PENDING', 'DELIVERED', 'DEAD')),
  tries      smallint not null default 0,
  status     smallint,                            -- of the last answer
  error      text,
  ended_at   timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index webhook_deliveries_pending on webhook_deliveries (webhook_id, lane, no) where state = 'PENDING';
create index webhook_deliveries_webhook on webhook_deliveries (webhook_id, no);

-- What was last told of a device, so that another owner who says the same says nothing new.
create table webhook_devices (
  device_id uuid primary key,
  tenant_id uuid not null,
  epoch     bigint not null,
  version   bigint not null,
  state     text not null
) with (fillfactor = 70);

create function webhook_lane(subject uuid) returns smallint language sql immutable as $$
  select (get_byte(uuid_send(subject), 15) & 7)::smallint
$$;

-- Ends of messages, and proof that comes later, in the transaction that commits them: one set-based insert for a batch, none where nobody asks.
create function webhook_messages() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from webhooks w where w.disabled_at is null and w.deleted_at is null) then
    return null;
  end if;
  insert into webhook_deliveries (webhook_id, tenant_id, lane, type, message_id, device_id, flow_no, detail, at)
  select w.id, n.tenant_id, webhook_lane(n.id), 'message.' || lower(n.state::text), n.id, n.device_id, n.flow_no,
    jsonb_build_object('state', n.state, 'cause', n.cause, 'attempts', n.attempt),
    case n.state when 'SENT' then coalesce(n.sent_at, now()) when 'DELIVERED' then coalesce(n.delivered_at, now()) when 'READ' then coalesce(n.read_at, now())
      else coalesce(n.ended_at, now()) end
  from after_rows n
  join before_rows o on o.id = n.id
  join webhooks w on w.tenant_id = n.tenant_id and w.disabled_at is null and w.deleted_at is null and 'message.' || lower(n.state::text) = any(w.events)
  where n.state > 'UNKNOWN' and n.state <> o.state
    -- taken back to be planned anew: no end for anybody
    and n.cause is distinct from 'FLOW_PAUSED';
  return null;
end $$;
create trigger webhook_messages after update on messages referencing old table as before_rows new table as after_rows
  for each statement execute function webhook_messages();

create function webhook_inbound() returns trigger language plpgsql as $$
begin
  insert into webhook_deliveries (webhook_id, tenant_id, lane, type, device_id, inbound_id, at)
  select w.id, n.tenant_id, webhook_lane(n.device_id), 'inbound.received', n.device_id, n.id, n.received_at
  from after_rows n
  join webhooks w on w.tenant_id = n.tenant_id and w.disabled_at is null and w.deleted_at is null and 'inbound.received' = any(w.events);
  return null;
end $$;
create trigger webhook_inbound after insert on inbound_messages referencing new table as after_rows
  for each statement execute function webhook_inbound();

create function webhook_flows() returns trigger language plpgsql as $$
begin
  insert into webhook_deliveries (webhook_id, tenant_id, lane, type, flow_no, detail, at)
  select w.id, new.tenant_id, webhook_lane(new.id), lower(new.kind) || '.ended', new.no, jsonb_build_object('state', new.state), coalesce(new.ended_at, now())
  from webhooks w
  where w.tenant_id = new.tenant_id and w.disabled_at is null and w.deleted_at is null and lower(new.kind) || '.ended' = any(w.events);
  return null;
end $$;
create trigger webhook_flows after update of state on flows for each row
  when (new.state in ('DONE', 'CANCELLED') and old.state <> new.state) execute function webhook_flows();
