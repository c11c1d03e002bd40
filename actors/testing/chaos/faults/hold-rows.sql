-- What a node frozen in a transaction would hold: the ownership rows of its devices.
-- $1 node
select o.device_id
from ownership o
where o.node = $1
order by o.device_id
for update
