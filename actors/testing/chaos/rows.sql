-- The whole ledger, as the judge reads it. Result: one row per message, in no order.
select m.id, m.device_id as device, m.lane, m.seq, m.state
from messages m
