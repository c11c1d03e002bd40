-- Writes down who is not to be messaged again: one row per phone number and one per LID; the other identity of the same person, where it is known, too.
-- $1 id  $2 tenant  $3 phone  $4 lid  $5 reason  $6 source
-- Result: the rows that are new. Whatever sequence or campaign such a person is in ends in the same transaction.
with given as materialized (
  select i.id, i.tenant_id, i.phone, i.lid, i.reason, i.source
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) as i (id, tenant_id, phone, lid, reason, source)
), other as (
  select gen_random_uuid() as id, g.tenant_id, null as phone, n.lid, g.reason, g.source
  from given g join identities n on n.tenant_id = g.tenant_id and n.phone = g.phone and n.lid is not null
  union all
  select gen_random_uuid(), g.tenant_id, n.phone, null, g.reason, g.source
  from given g join identities n on n.tenant_id = g.tenant_id and n.lid = g.lid
), wanted as materialized (
  select * from given union all select * from other
), made as (
  insert into suppressions as s (id, tenant_id, phone, lid, reason, source)
  select w.id, w.tenant_id, w.phone, w.lid, w.reason, w.source from wanted w order by w.tenant_id, w.phone, w.lid
  on conflict do nothing
  returning s.id
), person as materialized (
  select w.tenant_id, l.no
  from wanted w
  cross join lateral (
    (select l.no from leads l where l.tenant_id = w.tenant_id and l.phone = w.phone limit 1)
    union
    (select l.no from leads l where l.tenant_id = w.tenant_id and l.lid = w.lid limit 1)
  ) l
), left_flows as materialized (
  select flow_end(array_agg(f.no), array_agg(p.no), array_agg('SUPPRESSED'::text)) as ended
  from person p
  join flows f on f.tenant_id = p.tenant_id and f.state in ('RUNNING', 'PAUSED')
)
select m.id, x.ended from made m cross join left_flows x
