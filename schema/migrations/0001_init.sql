-- The first schema. Forward only: once landed this file never changes (schema/migrations/README.md).

create type message_state as enum (
  'QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN', 'FAILED', 'DEAD', 'CANCELLED', 'SUPPRESSED', 'SENT', 'DELIVERED', 'READ'
);
create type lane as enum ('control', 'high', 'normal');
create type transport as enum ('simulator', 'link', 'whatsapp');

create table tenants (
  id          uuid primary key,
  name        text not null unique,
  -- accepted and not yet ended, per device; over it sendMessage answers BACKLOG_FULL
  max_backlog bigint not null default 1000000 check (max_backlog > 0),
  time_zone   text not null default 'UTC',
  created_at  timestamptz not null default now()
);

-- Keys are 256-bit random strings, so one SHA-256 is enough to hide them at rest.
create table api_keys (
  id         uuid primary key,
  tenant_id  uuid references tenants (id),      -- null: the installation's admin key
  name       text not null,
  hash       bytea not null unique,
  scopes     text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
create index api_keys_tenant on api_keys (tenant_id, created_at);

create table devices (
  id              uuid primary key,
  tenant_id       uuid not null references tenants (id),
  partition       smallint not null check (partition between 0 and 255),
  name            text not null,
  phone           text,                          -- E.164, when known
  transport       transport not null,
  paired          boolean not null default false,
  paused          boolean not null default false,
  pause_reason    text,
  quarantined     boolean not null default false,
  quarantine_reason text,
  -- pace: the next send is allowed this long after the last, drawn evenly between the two
  pace_min_ms     integer not null default 5000 check (pace_min_ms >= 0),
  pace_max_ms     integer not null default 15000,
  daily_cap       integer check (daily_cap > 0),
  link_token_hash bytea unique,
  settings        jsonb not null default '{}',
  created_at      timestamptz not null default now(),
  changed_at      timestamptz not null default now(),
  deleted_at      timestamptz,
  check (pace_max_ms >= pace_min_ms),
  unique (tenant_id, name)
);
create index devices_tenant on devices (tenant_id, id) where deleted_at is null;
create index devices_changed on devices (changed_at);

-- Who may act for a device. Narrow and hot: everything that must not be done twice by two owners updates this row (ownership I1).
create table ownership (
  device_id     uuid primary key references devices (id),
  partition     smallint not null,
  epoch         bigint not null default 0,
  node          text,
  acquired_at   timestamptz,
  -- crash takeovers in the middle of a turn since the last completed turn
  crashes       smallint not null default 0,
  -- the message of the last intent: what a successor republishes
  last_message_id uuid,
  next_send_at  timestamptz not null default '-infinity',
  day           date not null default '-infinity',
  day_sent      integer not null default 0,
  ended         bigint not null default 0 check (ended >= 0)  -- messages that have ended: backlog = lane_counters.accepted - ended
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index ownership_partition on ownership (partition);

-- Touched by accepting only, so that gateways and owners do not wait for each other. Rows exist from the device's creation.
create table lane_counters (
  device_id uuid not null references devices (id),
  lane      lane not null,
  next_seq  bigint not null default 1,
  accepted  bigint not null default 0,           -- messages ever accepted, with or without a seq yet
  primary key (device_id, lane)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- The ledger. Range partitions on the UUIDv7 id itself, made ahead and dropped by retention (schema/sql/partitions.ts).
create table messages (
  id           uuid not null,
  tenant_id    uuid not null,
  device_id    uuid not null,
  lane         lane not null,
  seq          bigint,                           -- null until the message is due (scheduled) or promoted again (redriven)
  state        message_state not null default 'QUEUED',
  attempt      integer not null default 0,       -- intents made
  budget_from  integer not null default 0,       -- attempts before the last redrive: the budget counts from here
  epoch        bigint,                           -- epoch of the last intent or adoption
  node         text,
  recipient    text not null,                    -- E.164
  recipient_lid text,
  body         text not null,
  due_at       timestamptz not null,             -- not before: schedule or retry
  created_at   timestamptz not null default now(),
  intent_at    timestamptz,
  sent_at      timestamptz,
  delivered_at timestamptz,
  read_at      timestamptz,
  ended_at     timestamptz,
  cause        text,                             -- machine-readable why, for every end but SENT and further
  last_error   text,
  campaign_id  uuid,
  enrolment_id uuid,
  traceparent  text,
  primary key (id)
) partition by range (id);
create index messages_open on messages (device_id, lane, seq) where state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN') and seq is not null;
-- small: what a new owner must adopt
create index messages_in_flight on messages (device_id) where state in ('SENDING', 'WRITTEN', 'UNKNOWN');
create index messages_scheduled on messages (due_at) where state = 'QUEUED' and seq is null;
create index messages_device on messages (device_id, id);
create index messages_tenant on messages (tenant_id, id);

-- Unpartitioned, so that uniqueness holds over the whole ledger.
create table idempotency_keys (
  tenant_id    uuid not null,
  key          text not null,
  content_hash bytea not null,
  message_id   uuid not null,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, key)
);
create index idempotency_keys_created on idempotency_keys (created_at);

create table dead_letters (
  message_id  uuid primary key,
  tenant_id   uuid not null,
  device_id   uuid not null,
  state       message_state not null,            -- DEAD or FAILED
  cause       text not null,
  attempts    integer not null,
  last_error  text,
  created_at  timestamptz not null default now(),
  redriven_at timestamptz,
  redrives    integer not null default 0
);
create index dead_letters_tenant on dead_letters (tenant_id, created_at desc, message_id) where redriven_at is null;

create table suppressions (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  phone      text,
  lid        text,
  reason     text not null,
  source     text not null,
  created_at timestamptz not null default now(),
  check (phone is not null or lid is not null)
);
create unique index suppressions_phone on suppressions (tenant_id, phone) where phone is not null;
create unique index suppressions_lid on suppressions (tenant_id, lid) where lid is not null;

-- Stored once per (device, id): a device repeats an inbound message until it is told that it is stored.
create table inbound_messages (
  device_id   uuid not null,
  id          text not null,
  tenant_id   uuid not null,
  sender      text not null,
  sender_lid  text,
  body        text not null,
  received_at timestamptz not null default now(),
  primary key (device_id, id)
);

create table leads (
  id          uuid primary key,
  tenant_id   uuid not null references tenants (id),
  phone       text,
  lid         text,
  name        text,
  tags        text[] not null default '{}',
  stage       text,
  attributes  jsonb not null default '{}',
  consent_source text,
  consent_at  timestamptz,
  created_at  timestamptz not null default now(),
  unique (tenant_id, phone),
  unique (tenant_id, lid),
  check (phone is not null or lid is not null)
);

create table campaigns (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  name       text not null,
  state      text not null default 'DRAFT' check (state in ('DRAFT', 'RUNNING', 'PAUSED', 'CANCELLED', 'DONE')),
  template   text not null,
  settings   jsonb not null default '{}',
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at   timestamptz,
  unique (tenant_id, name)
);

create table sequences (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  name       text not null,
  version    integer not null default 1,
  next_sequence_id uuid references sequences (id),
  settings   jsonb not null default '{}',
  created_at timestamptz not null default now(),
  unique (tenant_id, name, version)
);

create table steps (
  sequence_id uuid not null references sequences (id),
  position    smallint not null check (position >= 1),
  delay_ms    bigint not null check (delay_ms >= 0),
  template    text not null,
  primary key (sequence_id, position)
);

-- One row per lead and sequence (or campaign): only the next message ever exists.
create table enrolments (
  id          bigint generated always as identity primary key,
  tenant_id   uuid not null,
  lead_id     uuid not null references leads (id),
  sequence_id uuid references sequences (id),
  campaign_id uuid references campaigns (id),
  device_id   uuid references devices (id),
  next_step   smallint not null default 1,
  due_at      timestamptz,                        -- null: ended
  ended_cause text,
  created_at  timestamptz not null default now(),
  check (num_nonnulls(sequence_id, campaign_id) = 1)
);
create unique index enrolments_sequence on enrolments (sequence_id, lead_id) where sequence_id is not null;
create unique index enrolments_campaign on enrolments (campaign_id, lead_id) where campaign_id is not null;
create index enrolments_due on enrolments (due_at) where due_at is not null;

create table webhooks (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  url        text not null,
  events     text[] not null,
  secret     bytea not null,                      -- sealed with the key ring (actors/sessions)
  disabled_at timestamptz,
  disabled_reason text,
  created_at timestamptz not null default now()
);

create table audit (
  id         uuid primary key,
  tenant_id  uuid,
  api_key_id uuid,
  action     text not null,
  subject    text,
  detail     jsonb not null default '{}',
  at         timestamptz not null default now()
);
create index audit_tenant on audit (tenant_id, at desc);

-- WhatsApp credentials, sealed with AES-256-GCM (actors/sessions). Writes are fenced by ownership.epoch.
create table sessions (
  device_id  uuid primary key references devices (id),
  creds      bytea not null,
  epoch      bigint not null,
  updated_at timestamptz not null default now()
);
create table session_keys (
  device_id uuid not null references devices (id),
  type      text not null,
  id        text not null,
  value     bytea not null,
  primary key (device_id, type, id)
);

-- The registry of actor nodes as last written by each; Redis holds the heartbeat, this holds the history.
create table nodes (
  id         text primary key,
  state      text not null check (state in ('JOINING', 'ACTIVE', 'DRAINING', 'GONE')),
  version    text not null,
  host       text not null,
  capacity   integer not null,
  devices    integer not null default 0,
  started_at timestamptz not null,
  seen_at    timestamptz not null
);

-- Counts per tenant, node and 10 s bucket: rates come from here, never from a scan of the ledger.
create table traffic (
  tenant_id uuid not null,
  bucket    timestamptz not null,
  node      text not null,
  sent      integer not null default 0,
  delivered integer not null default 0,
  failed    integer not null default 0,
  primary key (tenant_id, bucket, node)
);
create index traffic_bucket on traffic (bucket);
