-- Whose device it is.
-- $1 device
-- Result: one row.
select d.tenant_id
from devices d
where d.id = $1::uuid
