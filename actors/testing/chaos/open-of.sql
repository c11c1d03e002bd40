-- Messages of one device that have not ended.
-- $1 device
-- Result: one row, their number.
select count(*)::int as messages
from messages m
where m.device_id = $1::uuid and m.state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')
