-- Audit pages go by id: UUIDv7, so rising in time, and unique.
create index audit_tenant_id on audit (tenant_id, id desc);
drop index audit_tenant;

-- Counts and durations per tenant, writer (node or gateway) and minute or hour: the history of a fleet comes from here, never from the ledger.
create table traffic_history (
  tenant_id  uuid not null,
  grain      smallint not null check (grain in (60, 3600)),   -- s
  start      timestamptz not null,
  node       text not null,
  accepted   integer not null default 0,
  sent       integer not null default 0,
  delivered  integer not null default 0,
  failed     integer not null default 0,
  -- how many durations fell into each class (schema/domain/durations.ts)
  processing integer[] not null default '{}',                  -- from the intent to the recorded outcome
  latency    integer[] not null default '{}',                  -- from the acceptance to the provider's word
  primary key (tenant_id, grain, start, node)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
create index traffic_history_old on traffic_history (grain, start);

-- Devices and backlog of each tenant once a minute.
create table fleet_samples (
  tenant_id uuid not null,
  at        timestamptz not null,
  devices   integer not null,
  backlog   bigint not null,
  primary key (tenant_id, at)
);
create index fleet_samples_old on fleet_samples (at);
