-- Pairs of phone number and LID that devices have learnt. In: $1 tenants  $2 phones (E.164)  $3 LIDs; a pair stands once. Out: the pairs that are new, {phone}.
-- Guarantee: whoever said stop under one of the two before this statement began is suppressed under the other from its commit on, also when the pair was known;
-- leads get the LID they lack. Large tables are looked into by their indexes, once for each pair.
with pair as materialized (
  select p.tenant_id, p.phone, p.lid
  from unnest($1::uuid[], $2::text[], $3::text[]) as p (tenant_id, phone, lid)
  where exists (select from tenants t where t.id = p.tenant_id)
), learnt as materialized (
  insert into identities as i (tenant_id, phone, lid)
  select p.tenant_id, p.phone, p.lid from pair p order by p.tenant_id, p.phone
  on conflict (tenant_id, phone) do update set lid = excluded.lid, learnt_at = now() where i.lid is distinct from excluded.lid
  returning i.tenant_id, i.phone, i.lid
), stopped as (
  insert into suppressions (id, tenant_id, phone, lid, reason, source)
  select gen_random_uuid(), p.tenant_id, p.phone, null, s.reason, s.source
  from pair p cross join lateral (select * from suppressions s where s.tenant_id = p.tenant_id and s.lid = p.lid limit 1) s
  union all
  select gen_random_uuid(), p.tenant_id, null, p.lid, s.reason, s.source
  from pair p cross join lateral (select * from suppressions s where s.tenant_id = p.tenant_id and s.phone = p.phone limit 1) s
  on conflict do nothing
), lacking as materialized (
  select d.id, l.lid
  from learnt l
  cross join lateral (select d.id, d.lid from leads d where d.tenant_id = l.tenant_id and d.phone = l.phone limit 1) d
  where d.lid is null and (select x.id from leads x where x.tenant_id = l.tenant_id and x.lid = l.lid limit 1) is null
), named as (
  update leads d set lid = l.lid, changed_at = now()
  from lacking l
  where d.id = any (array(select id from lacking)) and d.id = l.id and d.lid is null
)
select phone from learnt
