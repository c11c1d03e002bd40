-- Leads that come as files, and what became of each file. The people in it are in `leads` only: a fault names row and column, never what stood there.
create table lead_imports (
  id          uuid primary key,
  tenant_id   uuid not null references tenants (id),
  format      text not null check (format in ('CSV', 'NDJSON')),
  state       text not null default 'RUNNING' check (state in ('RUNNING', 'DONE', 'FAILED', 'CANCELLED')),
  -- read so far, and what the sender said there would be
  bytes       bigint not null default 0,
  total_bytes bigint,
  rows        bigint not null default 0,
  made        bigint not null default 0,
  changed     bigint not null default 0,
  faulty      bigint not null default 0,
  -- why it stopped before its end
  error       text,
  started_at  timestamptz not null default now(),
  -- a running one that was not seen for a minute has lost its gateway
  seen_at     timestamptz not null default now(),
  ended_at    timestamptz
);
create index lead_imports_tenant on lead_imports (tenant_id, id desc);
create index lead_imports_started on lead_imports (started_at);

create table lead_import_faults (
  import_id uuid not null references lead_imports (id) on delete cascade,
  row       bigint not null,
  field     text not null,
  message   text not null,
  primary key (import_id, row)
);

-- Where numbers without a country code are of (ISO 3166 code of two letters); null: they are refused.
alter table tenants add column default_region text;
