-- Devices in quarantine.
-- Result: one row each.
select d.id
from devices d
where d.quarantined
