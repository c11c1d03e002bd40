-- Notes what was done by whom. $1 id  $2 tenant  $3 api key  $4 action  $5 subject  $6 detail
insert into audit (id, tenant_id, api_key_id, action, subject, detail)
select i.id, i.tenant_id, i.api_key_id, i.action, i.subject, i.detail
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[]) as i (id, tenant_id, api_key_id, action, subject, detail)
