-- Files that were uploaded to be sent. Where their bytes are, `store` says.
create table media_uploads (
  id uuid primary key,
  tenant_id uuid not null references tenants (id),
  kind text not null,
  type text not null,
  file_name text,
  store text not null check (store in ('postgres', 'file')),
  -- null: it is still coming, or broke off
  bytes bigint,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index media_uploads_tenant on media_uploads (tenant_id, expires_at);
create index media_uploads_expires on media_uploads (expires_at);
create table media_chunks (
  upload_id uuid not null references media_uploads (id) on delete cascade,
  no integer not null,
  bytes bytea not null,
  primary key (upload_id, no)
);
-- pictures and sounds are packed already
alter table media_chunks alter column bytes set storage external;
