-- Who owns the devices of the given partitions. $1 partitions
select o.device_id, o.partition, o.epoch, o.node, o.crashes
from ownership o
join devices d on d.id = o.device_id and d.deleted_at is null
where o.partition = any($1::smallint[])
order by o.device_id
