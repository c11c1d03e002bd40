-- Messages of some devices whose outcome is open: at the phones now or on the way there.
-- $1 devices
-- Result: one row, their number.
select count(*)::int as messages
from messages m
where m.device_id = any($1::uuid[]) and m.state in ('SENDING', 'WRITTEN', 'UNKNOWN')
