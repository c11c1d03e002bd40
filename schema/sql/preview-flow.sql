-- Who a flow would write to, through which device, as enrol-chunk.sql would have it; nothing is written. The first leads stand for all: their number is bounded.
-- $1 tenant  $2 flow  $3 leads looked at, at most  $4 samples, at most  $5 only this lead, whether the audience has it or not (null = the audience)
-- Result: one row: leads looked at, those that belong, of these who asked not to be messaged, who of the rest has no record of consent
-- where the tenant asks for one, whether those were all leads, and the first ones to be written to
-- (JSON, in their order). No row: the tenant has no such flow.
with flow as materialized (
  select f.no, f.tenant_id, f.audience, f.devices, flow_shares(f.variants) as shares, (select t.consent_required from tenants t where t.id = f.tenant_id limit 1) as asks_consent
  from flows f where f.tenant_id = $1::uuid and f.id = $2::uuid
), usable as materialized (
  select array_agg(d.no order by d.no) as nos
  from devices d
  join flow f on d.tenant_id = f.tenant_id
  where d.deleted_at is null and not d.quarantined
    and (f.devices -> 'ids' is null or d.id in (select i::uuid from flow g, jsonb_array_elements_text(g.devices -> 'ids') i))
), looked as materialized (
  select l.no, l.id, l.phone, l.lid, l.name, l.attributes, l.tags, l.niche, l.stage, l.consent_at, l.device_no
  from leads l
  where l.tenant_id = $1::uuid and ($5::uuid is null or l.id = $5::uuid)
  order by l.no
  limit $3
), belonging as materialized (
  select l.*, exists (select from suppressions s where s.tenant_id = f.tenant_id and (s.phone = l.phone or s.lid = l.lid)) or exists (
      select from suppressions s where s.tenant_id = f.tenant_id and s.hash in (person_hash(f.tenant_id, l.phone), person_hash(f.tenant_id, l.lid))
    ) as suppressed,
    f.asks_consent and l.consent_at is null as unconsented,
    case when l.device_no = any(u.nos) then l.device_no else u.nos[1 + l.no % cardinality(u.nos)] end as through
  from looked l
  cross join flow f
  cross join usable u
  where $5::uuid is not null or (
    (f.audience -> 'tags' is null or l.tags && array(select jsonb_array_elements_text(f.audience -> 'tags')))
    and (f.audience -> 'niches' is null or f.audience -> 'niches' ? l.niche)
    and (f.audience -> 'stages' is null or f.audience -> 'stages' ? l.stage)
    and (not coalesce((f.audience ->> 'consent')::boolean, false) or l.consent_at is not null)
  )
)
select (select count(*) from looked)::integer as looked,
  (select count(*) from belonging)::integer as belonging,
  (select count(*) from belonging b where b.suppressed)::integer as suppressed,
  (select count(*) from belonging b where b.unconsented and not b.suppressed)::integer as unconsented,
  (select count(*) from looked) < $3 as whole,
  (select coalesce(jsonb_agg(to_jsonb(x) - 'no' order by x.no), '[]')
   from (
     select b.no, b.id, b.phone, b.name, b.attributes, d.id as "deviceId", flow_variant(f.no, b.no, f.shares) as variant
     from belonging b
     left join devices d on d.no = b.through
     where not b.suppressed and not b.unconsented
     order by b.no
     limit $4
   ) x) as samples
from flow f
