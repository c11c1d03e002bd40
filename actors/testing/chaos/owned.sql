-- Who owns what now.
-- Result: one row per device with its epoch and its node (null: nobody yet).
select o.device_id, o.epoch, o.node
from ownership o
order by o.device_id
