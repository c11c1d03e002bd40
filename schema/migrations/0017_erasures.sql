-- People who are erased (schema/sql/erasures.ts): nothing of them is kept but what it takes never to write to them again, a hash.
alter table suppressions
  drop constraint suppressions_check,
  add column hash bytea,
  add constraint suppressions_check check (num_nonnulls(phone, lid, hash) > 0);
create unique index suppressions_hash on suppressions (tenant_id, hash) where hash is not null;

-- Of a number or a LID. Whoever has the database can try all numbers: it hides people from who reads along, not from who searches for one.
create function person_hash(tenant uuid, who text) returns bytea language sql immutable as $$
  select sha256(uuid_send(tenant) || replace(who, '\', '\\')::bytea)
$$;

create table erasures (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  -- of their number and of the LIDs they were known by
  hashes     bytea[] not null,
  -- messages up to this one are looked through; once at the end, from first_message on again: what was being accepted in the meantime
  at_message    uuid not null default '00000000-0000-0000-0000-000000000000',
  first_message uuid not null,
  looked_at  timestamptz,
  messages   bigint not null default 0,
  created_at timestamptz not null default now(),
  done_at    timestamptz
);
create index erasures_open on erasures (created_at) where done_at is null;
create index erasures_tenant on erasures (tenant_id);
