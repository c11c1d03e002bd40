-- How often a tenant writes to the same person in campaigns; every intent asks (schema/sql/intent.sql N11).
alter table tenants
  add column recipient_cap integer check (recipient_cap between 1 and 100),
  add column recipient_days integer check (recipient_days between 1 and 90),
  add constraint tenants_recipient_cap check (num_nulls(recipient_cap, recipient_days) <> 1);

-- When campaigns of tenants with such a cap wrote to somebody: the newest hundred, no more than any cap counts.
create table recipient_sends (
  tenant_id uuid not null,
  recipient text not null,
  sent      timestamptz[] not null,
  last_at   timestamptz not null,
  primary key (tenant_id, recipient)
);
create index recipient_sends_last on recipient_sends (last_at);

-- Counts a message to somebody unless the cap is reached. False: it is. Waits for who counts the same person at the moment: ask in order of (tenant, recipient).
create function count_recipient(tenant uuid, who text, at timestamptz, most integer, days integer) returns boolean language plpgsql as $$
begin
  insert into recipient_sends as r (tenant_id, recipient, sent, last_at) values (tenant, who, array[at], at)
  on conflict (tenant_id, recipient) do update
    set sent = array(select t from unnest(r.sent || excluded.sent) t order by t desc limit 100), last_at = greatest(r.last_at, excluded.last_at)
    where (select count(*) from unnest(r.sent) t where t > at - days * interval '1 day') < most;
  return found;
end
$$;
