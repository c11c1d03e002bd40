-- The devices that a node was the last to own (a scan of ownership: for repair and operators, not for a hot path). $1 node
select o.device_id, o.partition, o.epoch, o.node, o.crashes
from ownership o
join devices d on d.id = o.device_id and d.deleted_at is null
where o.node = $1
order by o.device_id
