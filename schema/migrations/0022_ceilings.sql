-- A pace, ceilings and a staggered start of campaigns and sequences, beside those of devices.
alter table flows
  -- between two of its messages on a device, where the device's own pace is not slower (schema/sql/intent.sql N12)
  add column pace_min_ms integer check (pace_min_ms between 0 and 86400000),
  add column pace_max_ms integer check (pace_max_ms between pace_min_ms and 86400000),
  add constraint flows_pace check (num_nulls(pace_min_ms, pace_max_ms) <> 1),
  -- its devices begin one after the other within this time
  add column stagger_ms integer check (stagger_ms between 0 and 86400000),
  -- messages of it that are made in a minute, over all devices
  add column per_minute integer check (per_minute between 1 and 1000000);
-- of all campaigns and sequences of the tenant together
alter table tenants add column flows_per_minute integer check (flows_per_minute between 1 and 1000000);

-- When the next message may be made: of a flow that has a ceiling, and of a tenant that has one (flow 0). Changed under its row's lock alone (schema/sql/take-ceilings.sql).
create table ceilings (
  tenant_id uuid not null,
  flow_no   integer not null,
  next_at   timestamptz not null,
  primary key (tenant_id, flow_no)
) with (fillfactor = 50);
