-- Writes leads down, new or changed: one row per (tenant, phone). A field that is not given keeps what it has; tags and attributes are added.
-- $1 id  $2 tenant  $3 phone  $4 name  $5 tags (JSON array)  $6 niche  $7 stage  $8 attributes (JSON)  $9 consent source  $10 consent at (ms)
-- Result: one row per lead, in the order of phones: whether it is new. The phones of a batch must differ.
insert into leads as l (id, tenant_id, phone, name, tags, niche, stage, attributes, consent_source, consent_at)
select i.id, i.tenant_id, i.phone, i.name, array(select jsonb_array_elements_text(i.tags)), i.niche, i.stage, i.attributes, i.consent_source,
  to_timestamp(i.consent_ms / 1000.0)
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::jsonb[], $9::text[], $10::float8[])
  as i (id, tenant_id, phone, name, tags, niche, stage, attributes, consent_source, consent_ms)
order by i.tenant_id, i.phone
on conflict (tenant_id, phone) do update
set name = coalesce(excluded.name, l.name),
  tags = array(select distinct t from unnest(l.tags || excluded.tags) t order by t),
  niche = coalesce(excluded.niche, l.niche),
  stage = coalesce(excluded.stage, l.stage),
  attributes = l.attributes || excluded.attributes,
  consent_source = coalesce(excluded.consent_source, l.consent_source),
  consent_at = coalesce(excluded.consent_at, l.consent_at),
  changed_at = clock_timestamp()
returning l.id, xmax = 0 as fresh
