-- Rows that an import left out, in their order. $1 tenant  $2 import  $3 after this row  $4 most
select f.row, f.field, f.message
from lead_import_faults f
where f.import_id = (select i.id from lead_imports i where i.id = $2::uuid and i.tenant_id = $1::uuid) and f.row > $3::bigint
order by f.row
limit $4
