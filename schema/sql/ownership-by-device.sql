-- Who owns the given devices, as last committed. $1 devices
select o.device_id, o.partition, o.epoch, o.node, o.crashes from ownership o where o.device_id = any($1::uuid[]) order by o.device_id
