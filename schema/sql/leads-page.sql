-- A page of a tenant's leads in the order of their import. $1 tenant  $2 after this number (null = from the start)  $3 most  $4 tag (null = any)
select l.no, l.id, l.tenant_id, l.phone, l.lid, l.name, l.tags, l.niche, l.stage, l.attributes, l.consent_source,
  floor(extract(epoch from l.consent_at) * 1000)::bigint as consent_at, floor(extract(epoch from l.created_at) * 1000)::bigint as created_at
from leads l
where l.tenant_id = $1::uuid and l.no > coalesce($2::bigint, 0) and ($4::text is null or l.tags @> array[$4::text])
order by l.no
limit $3
