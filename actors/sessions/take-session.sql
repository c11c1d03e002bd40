-- A session of a device is about to be put in place by hand: whoever owns the device now may write no more of the old one.
-- In: $1 device. Out: one row {epoch}, or none when there is no such WhatsApp device.
update ownership o
set epoch = o.epoch + 1
from devices d
where o.device_id = $1::uuid and d.id = $1::uuid and d.transport = 'whatsapp' and d.deleted_at is null
returning o.epoch
