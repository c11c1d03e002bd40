-- Who is who on WhatsApp, as a tenant's devices have learnt it.
create table identities (
  tenant_id uuid not null references tenants (id),
  -- E.164
  phone text not null,
  -- the JID without a device: 123456@lid
  lid text,
  -- was the number on WhatsApp when it was last asked for? Null: it never was
  registered boolean,
  checked_at timestamptz,
  learnt_at timestamptz not null default now(),
  primary key (tenant_id, phone)
);
create index identities_lid on identities (tenant_id, lid) where lid is not null;
